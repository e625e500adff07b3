import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { it } from "node:test";
import { untilTerminated } from "./signals.ts";

it("a signal that comes twice at once is one request to end, a later one is in a hurry", () => {
  let nowMs = 1000;
  const source = new EventEmitter();
  const termination = untilTerminated(() => nowMs, source);
  try {
    assert.equal(termination.signal.aborted, false);
    source.emit("SIGTERM");
    assert.equal(termination.signal.aborted, true);
    nowMs += 100;
    source.emit("SIGTERM");
    assert.equal(termination.hurry.aborted, false);
    nowMs += 1000;
    source.emit("SIGINT");
    assert.equal(termination.hurry.aborted, true);
  } finally {
    termination.dispose();
  }
  assert.equal(source.listenerCount("SIGTERM"), 0);
});
