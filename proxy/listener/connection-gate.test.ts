// Limits of connections are those of the process, live through changes, and come back with a worker that dies.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { FilterChain, Listener } from "#config/model/listener.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";

import { ConnectionGate } from "./connection-gate.ts";

const CHAIN = { name: "only" } as FilterChain; // as: the gate reads the name alone
const LISTENER = { name: "in", filterChains: [CHAIN] } as unknown as Listener; // as: and of a listener these two

describe("a gate of connections", () => {
  it("counts those of all workers, and gives places back", () => {
    const buffer = SharedCells.makeBuffer(64);
    const one = new ConnectionGate(new SharedCells(buffer, 0), LISTENER);
    const other = new ConnectionGate(new SharedCells(buffer, 1), LISTENER);
    const limit = { maxConnections: 2, delayMs: 0 };
    const leave = one.tryEnter(CHAIN, limit);
    assert.ok(leave !== undefined && other.tryEnter(CHAIN, limit) !== undefined);
    assert.equal(one.tryEnter(CHAIN, limit), undefined);
    assert.equal(other.tryEnter(CHAIN, limit), undefined);
    leave();
    assert.ok(other.tryEnter(CHAIN, limit) !== undefined);
  });

  it("takes back what a dead worker held", () => {
    const buffer = SharedCells.makeBuffer(64);
    const limit = { maxConnections: 1, delayMs: 0 };
    assert.ok(new ConnectionGate(new SharedCells(buffer, 0), LISTENER).tryEnter(CHAIN, limit) !== undefined);
    assert.ok(new ConnectionGate(new SharedCells(buffer, 0), LISTENER).tryEnter(CHAIN, limit) !== undefined);
  });

  it("takes connections as fast as the bucket says, under a new rate as soon as it comes", () => {
    const gate = new ConnectionGate(new SharedCells(SharedCells.makeBuffer(64)), LISTENER);
    for (let i = 0; i < 100; i++) assert.equal(gate.tryTake(0), true);
    gate.update({ ...LISTENER, connectionRate: { maxTokens: 2, tokensPerFill: 1, fillIntervalMs: 1000 } });
    assert.deepEqual([gate.tryTake(1000), gate.tryTake(1000), gate.tryTake(1000)], [true, true, false]);
    assert.equal(gate.tryTake(2001), true);
  });
});
