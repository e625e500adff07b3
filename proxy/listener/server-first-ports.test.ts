// What is remembered of ports whose servers speak first: not for ever, and not without bound.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ServerFirstPorts } from "./server-first-ports.ts";

describe("the ports whose servers speak first", () => {
  it("are known for ten minutes after the last time", () => {
    const ports = new ServerFirstPorts();
    assert.equal(ports.has("10.0.0.1:25", 0), false);
    ports.add("10.0.0.1:25", 0);
    ports.add("10.0.0.1:25", 1000);
    assert.equal(ports.has("10.0.0.1:25", 600_999), true);
    assert.equal(ports.has("10.0.0.1:25", 601_000), false);
    assert.equal(ports.size, 0);
  });

  it("are at most 1,024: the one longest not confirmed is forgotten", () => {
    const ports = new ServerFirstPorts();
    for (let i = 0; i < 1024; i++) ports.add(`10.0.0.1:${i}`, i);
    ports.add("10.0.0.1:0", 2000);
    ports.add("10.0.0.2:0", 2000);
    assert.equal(ports.size, 1024);
    assert.equal(ports.has("10.0.0.1:0", 2000), true);
    assert.equal(ports.has("10.0.0.1:1", 2000), false);
  });
});
