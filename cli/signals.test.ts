import assert from "node:assert/strict";
import { it } from "node:test";
import { untilTerminated } from "./signals.ts";

it("a signal that comes twice at once is one request to end, a later one is in a hurry", () => {
  let nowMs = 1000;
  const before = process.listenerCount("SIGTERM");
  const termination = untilTerminated(() => nowMs);
  try {
    assert.equal(termination.signal.aborted, false);
    process.emit("SIGTERM", "SIGTERM");
    assert.equal(termination.signal.aborted, true);
    nowMs += 100;
    process.emit("SIGTERM", "SIGTERM");
    assert.equal(termination.hurry.aborted, false);
    nowMs += 1000;
    process.emit("SIGINT", "SIGINT");
    assert.equal(termination.hurry.aborted, true);
  } finally {
    termination.dispose();
  }
  assert.equal(process.listenerCount("SIGTERM"), before);
});
