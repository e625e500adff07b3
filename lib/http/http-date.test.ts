import assert from "node:assert/strict";
import { test } from "node:test";

import { formatHttpDate } from "./http-date.ts";

test("a date is written as RFC 9110 has it, and changes with the second", () => {
  const text = "Sun, 06 Nov 1994 08:49:37 GMT";
  assert.equal(formatHttpDate(784_111_777_000), text);
  assert.equal(formatHttpDate(784_111_777_999), text);
  assert.equal(formatHttpDate(784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT");
});
