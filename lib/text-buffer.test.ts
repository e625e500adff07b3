import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { TextBuffer } from "./text-buffer.ts";

describe("a text buffer", () => {
  it("holds what strings put together would be, in UTF-8", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme", maxLength: 40 })), (texts) => {
        const out = new TextBuffer();
        for (const text of texts) out.write(text);
        assert.equal(out.bytes.toString("utf8"), Buffer.from(texts.join("")).toString("utf8"));
      }),
    );
  });

  it("writes JSON strings as JSON.stringify does", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const out = new TextBuffer();
        out.writeJson(text);
        assert.equal(out.bytes.toString("utf8"), Buffer.from(JSON.stringify(text)).toString("utf8"));
      }),
    );
  });

  it("grows, and begins anew when cleared", () => {
    const out = new TextBuffer();
    const text = "x".repeat(5000);
    for (let i = 0; i < 5; i++) out.write(text);
    assert.equal(out.length, 25_000);
    assert.ok(out.capacity >= out.length);
    out.clear();
    out.write("y");
    assert.equal(out.bytes.toString(), "y");
  });
});
