// Node's words for a certificate's names, read back.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseSubjectNames, spiffeIdOf } from "./subject-names.ts";

describe("a certificate's names", () => {
  it("are read by their types, quoted ones as what they say", () => {
    const names = parseSubjectNames('URI:spiffe://a/b, DNS:"a, URI:spiffe://a/c", IP Address:::1, email:a@b');
    assert.deepEqual(names, { uris: ["spiffe://a/b"], dns: ["a, URI:spiffe://a/c"], ips: ["::1"], emails: ["a@b"] });
    assert.equal(spiffeIdOf(names), "spiffe://a/b");
  });

  it("of types that we do not know, or in no JSON, are nobody's, and never an error", () => {
    const nobody = { uris: [], dns: [], ips: [], emails: [] };
    for (const text of ["constructor:a", "__proto__:a", "othername:<unsupported>", 'URI:"\\x"'])
      assert.deepEqual(parseSubjectNames(text), nobody, text);
    const piece = fc.constantFrom("URI:", "DNS:", ", ", '"', "\\", "\\u00", "a", ":", "toString:", "IP Address:", "\n");
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => void parseSubjectNames(pieces.join(""))));
  });
});
