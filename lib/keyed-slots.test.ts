import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";

import { keyedSlotCells, KeyedSlots } from "./keyed-slots.ts";

test("a key keeps its place, and threads find the same one", () => {
  const cells = new Int32Array(keyedSlotCells(16));
  const [one, two] = [new KeyedSlots(cells, () => false), new KeyedSlots(cells, () => false)];
  const slot = one.slotOf("ann", 5);
  assert.equal(two.slotOf("ann", 6), slot);
  assert.notEqual(two.slotOf("bob", 7), slot);
});

test("the key that was not used for longest makes room, and what it left is emptied", () => {
  const taken: number[] = [];
  const slots = new KeyedSlots(
    new Int32Array(keyedSlotCells(2)),
    () => false,
    (slot) => void taken.push(slot),
  );
  const ann = slots.slotOf("ann", 1);
  slots.slotOf("bob", 2);
  assert.equal(slots.slotOf("cid", 3), ann);
  assert.deepEqual(taken, [ann]);
});

test("a busy place is never taken from its key, however many keys come", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ key: fc.nat(200), isBusy: fc.boolean() }), { maxLength: 100 }), (steps) => {
      const busy = new Map<number, string>();
      const slots = new KeyedSlots(new Int32Array(keyedSlotCells(12)), (slot) => busy.has(slot));
      for (const [at, { key, isBusy }] of steps.entries()) {
        const slot = slots.slotOf(`key-${key}`, at);
        const owner = busy.get(slot);
        assert.ok(slot === -1 || owner === undefined || owner === `key-${key}`);
        if (slot !== -1 && isBusy) busy.set(slot, `key-${key}`);
      }
    }),
  );
});

test("a key never has two places, however many threads give places in a full table at once", async () => {
  const cells = new Int32Array(new SharedArrayBuffer(4 * keyedSlotCells(6)));
  const meeting = new Int32Array(new SharedArrayBuffer(8));
  const threads = 3;
  // Between two rounds, when nobody gives places, one of them looks through the table.
  const body = `
    const { workerData, parentPort } = require("node:worker_threads");
    const { cells, meeting, threads, seed, url } = workerData;
    import(url).then(({ KeyedSlots }) => {
      const slots = new KeyedSlots(cells, () => false);
      let twice = 0;
      for (let round = 0; round < 1500; round++) {
        for (let i = 0; i < 40; i++) slots.slotOf("key-" + ((i * seed + round) % 9), round * 40 + i);
        if (Atomics.add(meeting, 0, 1) === threads - 1) {
          const hashes = [...cells].filter((cell, at) => at % 2 === 0 && at < 12 && cell !== 0);
          twice += hashes.length - new Set(hashes).size;
          Atomics.store(meeting, 0, 0);
          Atomics.add(meeting, 1, 1);
          Atomics.notify(meeting, 1);
        } else Atomics.wait(meeting, 1, round);
      }
      parentPort.postMessage(twice);
    });`;
  const url = new URL("./keyed-slots.ts", import.meta.url).href;
  const run = (seed: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(body, { eval: true, workerData: { cells, meeting, threads, seed, url } });
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  assert.deepEqual(await Promise.all([1, 2, 5].map(run)), [0, 0, 0]);
});
