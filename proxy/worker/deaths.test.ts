import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeClock } from "#lib/testing/fake-clock.ts";

import { Deaths } from "./deaths.ts";

test("one death is forgiven and replaced at once, a second within a minute makes the process unready", () => {
  const clock = new FakeClock();
  const deaths = new Deaths(() => clock.nowMs());
  assert.equal(deaths.add(), 0);
  assert.equal(deaths.reason, undefined);
  clock.advance(59_000);
  assert.equal(deaths.add(), 1000);
  assert.equal(deaths.reason, "data threads died 2 times within a minute");
  clock.advance(60_000);
  assert.equal(deaths.reason, undefined);
  assert.equal(deaths.add(), 0);
  assert.equal(deaths.count, 3);
});

test("threads that cannot live are started more and more rarely", () => {
  const deaths = new Deaths(() => 0);
  assert.deepEqual(
    Array.from({ length: 8 }, () => deaths.add()),
    [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
  );
});
