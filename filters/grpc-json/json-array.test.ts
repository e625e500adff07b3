import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { JsonArrayError, JsonArraySplitter } from "./json-array.ts";
import { BodyTooLargeError } from "./replies.ts";

function split(text: string, cuts: readonly number[] = [1000], maxBytes = 10_000): readonly string[] {
  const bytes = Buffer.from(text);
  const splitter = new JsonArraySplitter(maxBytes);
  const elements: string[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = Math.min(bytes.length, at + (cuts[i % cuts.length] ?? 1));
    elements.push(...splitter.split(bytes, at, end, end === bytes.length));
    at = end;
  }
  return elements;
}

test("elements come one by one, however the array was written and cut", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(0, 1, 2), cuts, (values, indent, lengths) => {
      const elements = split(` ${JSON.stringify(values, undefined, indent)}\n`, lengths);
      assert.deepEqual(
        elements.map((element) => JSON.parse(element) as unknown),
        JSON.parse(JSON.stringify(values)),
      );
    }),
  );
});

test("an element is there as soon as the comma behind it", () => {
  const splitter = new JsonArraySplitter(100);
  const bytes = Buffer.from('[{"a":1},');
  assert.deepEqual(splitter.split(bytes, 0, bytes.length, false), ['{"a":1}']);
});

test("what is no array is refused", () => {
  for (const text of ["{}", "[1", "[1,]", "[,1]", "[1]x", "[1,,2]", " ", '["a]'])
    assert.throws(() => split(text), JsonArrayError, text);
  assert.throws(() => split('["0123456789"]', [3], 10), BodyTooLargeError);
});
