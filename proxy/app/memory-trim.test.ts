// Memory is given back when configuration has settled, and not more often than need be.
import assert from "node:assert/strict";
import test from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { MemoryTrim } from "./memory-trim.ts";

test("changes that follow each other are one collection, a second after the last", () => {
  const clock = new FakeClock();
  let [collections, releases] = [0, 0];
  const trim = new MemoryTrim({ clock, collect: () => collections++, release: () => releases++ });
  trim.noteChange();
  clock.advance(900);
  trim.noteChange();
  clock.advance(900);
  assert.equal(collections, 0);
  clock.advance(100);
  assert.deepEqual([collections, releases], [1, 0]);
  clock.advance(200);
  assert.deepEqual([collections, releases], [1, 1], "what was freed is given back");
  clock.advance(60_000);
  assert.deepEqual([collections, releases], [1, 1], "without a change there is nothing to collect");
});

test("two collections are 30 seconds apart", () => {
  const clock = new FakeClock();
  let [collections, releases] = [0, 0];
  const trim = new MemoryTrim({ clock, collect: () => collections++, release: () => releases++ });
  trim.noteChange();
  clock.advance(1000);
  trim.noteChange();
  clock.advance(29_999);
  assert.equal(collections, 1);
  clock.advance(1);
  assert.equal(collections, 2);
  clock.advance(200);
  assert.equal(releases, 2);
});

test("nothing is collected after close", () => {
  const clock = new FakeClock();
  let [collections, releases] = [0, 0];
  const trim = new MemoryTrim({ clock, collect: () => collections++, release: () => releases++ });
  trim.noteChange();
  trim.close();
  clock.advance(60_000);
  assert.deepEqual([collections, releases], [0, 0]);
});

test("V8 gives back what a young generation took", () => {
  const before = process.memoryUsage().heapTotal;
  let kept: unknown[] = [];
  for (let round = 0; round < 20; round++) kept = Array.from({ length: 50_000 }, (_, index) => ({ round, index }));
  const used = process.memoryUsage().heapTotal;
  assert.ok(kept.length > 0 && used > before);
  kept = [];
  const clock = new FakeClock();
  new MemoryTrim({ clock, collect: collectGarbage, release: () => {} }).noteChange();
  clock.advance(1000);
  assert.ok(process.memoryUsage().heapTotal < used);
});
