// The numbers of the system that this thread runs on, read on a timer and never for a request: load, processors, event loop.
import fs from "node:fs";
import os from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { SystemNumbers } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";

const INTERVAL_MS = 1000;
const RESOLUTION_MS = 10;

/** Microseconds of processor time that were used so far, and how many processors may be used. */
export interface CpuSource {
  readonly usedUs: () => number;
  readonly processors: number;
}

/** Begins with the first who asks for it, and goes on. */
export class SystemReadings implements SystemNumbers {
  load1 = 0;
  cpuPercent = 0;
  eventLoopDelayMs = 0;
  readonly #clock: Clock;
  readonly #cpu: CpuSource;
  readonly #loop: ReturnType<typeof monitorEventLoopDelay>;
  #lastMs: number;
  #lastUsedUs: number;

  constructor(clock: Clock, cpu: CpuSource = findCpuSource((path) => fs.readFileSync(path, "utf8"))) {
    this.#clock = clock;
    this.#cpu = cpu;
    this.#loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#loop.enable();
    this.#lastMs = clock.nowMs();
    this.#lastUsedUs = cpu.usedUs();
    this.load1 = os.loadavg()[0] ?? 0;
    this.#arm();
  }

  #arm(): void {
    this.#clock.setTimer(INTERVAL_MS, () => {
      this.#read();
      this.#arm();
    });
  }

  #read(): void {
    const nowMs = this.#clock.nowMs();
    const usedUs = this.#cpu.usedUs();
    const elapsedUs = Math.max(1, (nowMs - this.#lastMs) * 1000);
    this.load1 = os.loadavg()[0] ?? 0;
    this.cpuPercent = ((usedUs - this.#lastUsedUs) / elapsedUs / this.#cpu.processors) * 100;
    // The histogram has the time between its timer's calls, in ns: the resolution is no delay.
    this.eventLoopDelayMs = this.#loop.count === 0 ? 0 : Math.max(0, this.#loop.percentile(90) / 1e6 - RESOLUTION_MS);
    this.#loop.reset();
    this.#lastMs = nowMs;
    this.#lastUsedUs = usedUs;
  }
}

/** Our cgroup's (version 2), which the application may share with us; else what this process uses of all processors. */
export function findCpuSource(readFile: (path: string) => string): CpuSource {
  const used = (): number => Number(/^usage_usec (\d+)/m.exec(readFile("/sys/fs/cgroup/cpu.stat"))?.[1]);
  try {
    const [quota, period] = readFile("/sys/fs/cgroup/cpu.max").trim().split(" ").map(Number);
    const limit = (quota ?? NaN) / (period ?? NaN);
    if (Number.isFinite(used()))
      return { usedUs: used, processors: Number.isFinite(limit) ? limit : os.availableParallelism() };
  } catch {
    // Another version of cgroups, or none.
  }
  return {
    usedUs: () => {
      const { user, system } = process.cpuUsage();
      return user + system;
    },
    processors: os.availableParallelism(),
  };
}
