import assert from "node:assert/strict";
import { test } from "node:test";
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
