import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerCache } from "./cache.ts";

const answerOf = (bytes: number, storedMs = 0) => ({ headers: [], body: Buffer.alloc(bytes), storedMs });

test("the answer that was not used for longest goes first", () => {
  const cache = new AnswerCache(2, 1000);
  cache.put("a", answerOf(1));
  cache.put("b", answerOf(1));
  cache.get("a", 0, 10);
  cache.put("c", answerOf(1));
  assert.deepEqual(
    ["a", "b", "c"].map((key) => cache.get(key, 0, 10) !== undefined),
    [true, false, true],
  );
});

test("all together have so many bytes at most, and what is gone is not counted", () => {
  const cache = new AnswerCache(1000, 100);
  for (let i = 0; i < 50; i++) cache.put(`k${i}`, answerOf(20));
  assert.ok(cache.bytes <= 100 && cache.size >= 4, `${cache.bytes} bytes of ${cache.size}`);
  cache.put("huge", answerOf(101));
  assert.equal(cache.get("huge", 0, 10), undefined);
  cache.put("k49", answerOf(10));
  for (let i = 0; i < 50; i++) cache.get(`k${i}`, 100, 10);
  assert.deepEqual([cache.size, cache.bytes], [0, 0]);
});

test("an answer that is too old is none", () => {
  const cache = new AnswerCache(2, 1000);
  cache.put("a", answerOf(1, 100));
  assert.ok(cache.get("a", 200, 100));
  assert.equal(cache.get("a", 201, 100), undefined);
});
