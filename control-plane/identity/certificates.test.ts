// Signing requests as strangers send them: refused in our own words, whatever is wrong.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { parseSigningRequest } from "./certificates.ts";
import { IdentityError } from "./spiffe-id.ts";
import { makeCsr } from "./testing/make-csr.ts";

function toPem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
}

describe("a signing request", () => {
  let der: Buffer;
  before(async () => {
    der = Buffer.from((await makeCsr("spiffe://a/ns/b/sa/c")).replaceAll(/-----[^-]+-----/g, ""), "base64");
  });

  it("is refused when its key is no point of the curve", async () => {
    const broken = Buffer.from(der);
    // The point is what follows 03 42 00 04 (a bit string of an uncompressed point).
    const point = broken.indexOf(Buffer.from([0x03, 0x42, 0x00, 0x04])) + 4;
    broken.fill(0x61, point, point + 64);
    await assert.rejects(parseSigningRequest(toPem(broken)), IdentityError);
  });

  it("is refused with an error of ours when any octet of it is another", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const broken = Buffer.from(der);
        broken[at] = (broken[at] ?? 0) ^ change;
        await parseSigningRequest(toPem(broken)).catch((error: unknown) => assert.ok(error instanceof IdentityError));
      }),
      { numRuns: 40 },
    );
  });
});
