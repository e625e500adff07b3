import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { findCpuSource, SystemReadings } from "./system-readings.ts";

function files(texts: Readonly<Record<string, string>>): (path: string) => string {
  return (path) => {
    const text = texts[path];
    if (text === undefined) throw new Error("no such file");
    return text;
  };
}

test("the processors that a container may use are its quota's", () => {
  const source = findCpuSource(
    files({ "/sys/fs/cgroup/cpu.max": "150000 100000\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 1234\nuser_usec 1\n" }),
  );
  assert.equal(source.processors, 1.5);
  assert.equal(source.usedUs(), 1234);
});

test("without a quota, or without the files of cgroups 2, all processors count", () => {
  const free = findCpuSource(
    files({ "/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 7\n" }),
  );
  assert.equal(free.usedUs(), 7);
  assert.ok(Number.isInteger(free.processors));
  assert.ok(findCpuSource(files({})).usedUs() > 0);
});

test("the share of processors is that of the last second", () => {
  const clock = new FakeClock();
  let usedUs = 0;
  const readings = new SystemReadings(clock, { usedUs: () => usedUs, processors: 2 });
  usedUs = 1_000_000;
  clock.advance(1000);
  assert.equal(readings.cpuPercent, 50);
  clock.advance(1000);
  assert.equal(readings.cpuPercent, 0);
});
