// The patterns of text fields: whatever a document says, they answer in a time that its length explains.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { formats, type TextFormat } from "./formats.ts";

describe("the pattern of a text field", () => {
  it("never tries every way to cut a text that does not match", () => {
    const unit = fc.stringMatching(/^[a-zA-Z0-9!./:*\t -]{1,4}$/);
    for (const [name, { pattern, maxLength = 4096 }] of Object.entries<TextFormat>(formats)) {
      const compiled = new RegExp(pattern);
      fc.assert(
        fc.property(unit, fc.constantFrom("\u0001", "!", " ", "", "\n"), (text, end) => {
          // In small steps: one that backtracks without bound takes 16 times as long for each four letters more.
          const whole = text.repeat(maxLength).slice(0, maxLength - 1);
          for (const length of [16, 20, 24, 28, 32, 64, 512, maxLength - 1]) {
            const began = performance.now();
            compiled.test(whole.slice(0, length) + end);
            assert.ok(performance.now() - began < 2000, `${name} on ${length} of ${JSON.stringify(text)}`);
          }
        }),
        { numRuns: 15 },
      );
    }
  });

  it("of a header value takes words with single blanks between them", () => {
    const pattern = new RegExp(formats.headerValue.pattern);
    for (const good of ["a", "a b", "a\tb c", "~!"]) assert.ok(pattern.test(good), good);
    for (const bad of ["", " a", "a ", "a  b", "a\nb", "\u00e9"]) assert.ok(!pattern.test(bad), bad);
  });
});
