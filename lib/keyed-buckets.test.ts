// Many buckets by key in a table of fixed size.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";

import { KeyedBuckets, keyedBucketCells } from "./keyed-buckets.ts";

const SPEC = { maxTokens: 5, tokensPerFill: 5, fillIntervalMs: 1000 };

function makeTable(maxKeys: number): KeyedBuckets {
  return new KeyedBuckets(SPEC, new Int32Array(keyedBucketCells(maxKeys)));
}

function allowed(table: KeyedBuckets, key: string, nowMs: number, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (table.tryTake(key, nowMs).allowed) count++;
  return count;
}

describe("keyed buckets", () => {
  it("give each key its own burst, and its own refill", () => {
    const table = makeTable(1000);
    for (const key of ["acme", "globex", ""]) assert.equal(allowed(table, key, 5000, 9), 5, key);
    assert.equal(allowed(table, "acme", 5200.1, 9), 1);
    assert.equal(allowed(table, "initech", 5200.1, 9), 5);
  });

  it("keep a key's tokens while others come and go, as long as there is room", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { maxLength: 40 }), fc.string(), (others, key) => {
        const table = makeTable(4096);
        assert.equal(allowed(table, key, 1000, 9), 5);
        for (const other of others) if (other !== key) table.tryTake(other, 1000);
        assert.equal(allowed(table, key, 1000, 9), 0);
      }),
      { numRuns: 50 },
    );
  });

  it("let a slot go to another key when its bucket is full again", () => {
    const table = makeTable(1);
    assert.equal(allowed(table, "a", 1000, 9), 5);
    assert.equal(allowed(table, "b", 3000, 9), 5);
    assert.equal(allowed(table, "a", 5000, 9), 5);
  });

  it("stay in bounds with more keys than slots, and never refuse a key its first request", () => {
    const table = makeTable(16);
    for (let i = 0; i < 500; i++) assert.equal(table.tryTake(`key-${i}`, 1000).allowed, true, `key-${i}`);
  });

  it("are exact among threads that share them", async () => {
    const shared = new SharedArrayBuffer(keyedBucketCells(8) * 4);
    const source = `
      import { parentPort, workerData } from "node:worker_threads";
      const { KeyedBuckets } = await import(workerData.module);
      const table = new KeyedBuckets(workerData.spec, new Int32Array(workerData.shared));
      let count = 0;
      for (let i = 0; i < 2000; i++) if (table.tryTake("acme", 5000).allowed) count++;
      parentPort.postMessage(count);`;
    const spec = { maxTokens: 1500, tokensPerFill: 1, fillIntervalMs: 1000 };
    const module = new URL("keyed-buckets.ts", import.meta.url).href;
    const counts = await Promise.all(
      [0, 1].map(
        () =>
          new Promise<number>((resolve, reject) => {
            const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
              workerData: { module, shared, spec },
            });
            worker.once("message", resolve).once("error", reject);
          }),
      ),
    );
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1500,
    );
  });
});

describe("a million keys", () => {
  const HOUR = { maxTokens: 5, tokensPerFill: 5, fillIntervalMs: 3_600_000 };

  it("lie in memory that is fixed, and what is asked for stays exact while others come and go", () => {
    const cells = new Int32Array(keyedBucketCells(10_000));
    assert.equal(cells.length, 12_504 * 4);
    const table = new KeyedBuckets(HOUR, cells);
    let nowMs = 1000;
    let hot = allowed(table, "hot", nowMs, 5);
    for (let i = 0; i < 1_000_000; i++) {
      table.tryTake(`key-${i}`, nowMs);
      if (i % 2000 !== 0) continue;
      nowMs += 100;
      hot += allowed(table, "hot", nowMs, 1);
    }
    // 50 s bring no token.
    assert.equal(hot, 5);
  });

  it("all keep their own where there is room for them", () => {
    const table = new KeyedBuckets(
      { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1e9 },
      new Int32Array(keyedBucketCells(200_000)),
    );
    let admitted = 0;
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 200_000; i++) if (table.tryTake(`key-${i}`, 1000).allowed) admitted++;
    // Two groups of eight do not always have room: of one key in some thousands.
    assert.ok(admitted < 200_100, `${admitted - 200_000} keys lost their bucket`);
  });
});

it("two threads that meet a key at the same time give it one bucket", async () => {
  const keys = 2000;
  const code = `
    const { parentPort, workerData } = await import("node:worker_threads");
    const { KeyedBuckets } = await import(workerData.buckets);
    const cells = new Int32Array(workerData.cells);
    const steps = new Int32Array(workerData.steps);
    const table = new KeyedBuckets({ maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1e9 }, cells);
    let passed = 0;
    for (let key = 0; key < ${keys}; key++) {
      Atomics.add(steps, 0, 1);
      for (let spins = 0; spins < 1e5 && Atomics.load(steps, 0) < 2 * (key + 1); spins++);
      if (table.tryTake("key-" + key, 1000).allowed) passed++;
    }
    parentPort.postMessage(passed);
  `;
  const workerData = {
    cells: new SharedArrayBuffer(keyedBucketCells(5 * keys) * 4),
    steps: new SharedArrayBuffer(4),
    buckets: import.meta.resolve("./keyed-buckets.ts"),
  };
  const threads = [0, 1].map(
    () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData }),
  );
  const counts = await Promise.all(threads.map((thread) => once(thread, "message")));
  await Promise.all(threads.map((thread) => thread.terminate()));
  assert.equal(
    counts.flat().reduce((sum: number, count: number) => sum + count, 0),
    keys,
  );
});
