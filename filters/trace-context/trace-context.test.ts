import assert from "node:assert/strict";
import { test } from "node:test";

import { parseTraceparent } from "./trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("the lowest bit of a traceparent's flags says whether it is sampled, whatever the others are", () => {
  for (let flags = 0; flags < 256; flags++) {
    const text = flags.toString(16).padStart(2, "0");
    const trace = parseTraceparent(`00-${TRACE}-${SPAN}-${text}`);
    assert.deepEqual([trace?.traceId, trace?.spanId, trace?.isSampled], [TRACE, SPAN, (flags & 1) === 1], text);
  }
});

test("a traceparent of a later version may go on behind its flags, after a dash", () => {
  assert.equal(parseTraceparent(`01-${TRACE}-${SPAN}-01-more`)?.traceId, TRACE);
  assert.equal(parseTraceparent(`01-${TRACE}-${SPAN}-01`)?.traceId, TRACE);
  for (const bad of [
    `01-${TRACE}-${SPAN}-01more`,
    `01-${TRACE}-${SPAN}-0`,
    `0g-${TRACE}-${SPAN}-01`,
    `01 ${TRACE}-${SPAN}-01`,
  ])
    assert.equal(parseTraceparent(bad), undefined, bad);
});
