// How much of its memory limit the process uses, looked at once a second on the main thread, and what the workers are told of it.
import type { Clock, Timer } from "#lib/clock.ts";

import { nextLevel, type OverloadLevel } from "./overload.ts";

const INTERVAL_MS = 1000;
/** At least this between two collections that pressure asks for: each stops its thread for some ms. */
const COLLECT_PAUSE_MS = 10_000;
/** cgroup v1 writes "no limit" as a number near 2^63. */
const NO_LIMIT = 2 ** 60;

export interface MemoryWatchParts {
  readonly clock: Clock;
  /** Bytes; undefined = no limit, nothing is watched. */
  readonly limitBytes: number | undefined;
  /** Resident bytes of the whole process. */
  readonly usedBytes: () => number;
  /** Collects garbage in every thread: what is resident may be nothing but that. */
  readonly collect: () => void;
  readonly onLevel: (level: OverloadLevel, share: number) => void;
}

/** Collects before a level becomes worse, and judges by what is left a second later. Tells each change of level, and `shed` again each second as long as it lasts: connections go idle meanwhile. */
export class MemoryWatch {
  level: OverloadLevel = "normal";
  readonly #parts: MemoryWatchParts;
  #timer: Timer | undefined;
  #collectedMs = -Infinity;

  constructor(parts: MemoryWatchParts) {
    this.#parts = parts;
  }

  start(): void {
    const { clock, limitBytes } = this.#parts;
    if (limitBytes === undefined) return;
    this.#timer = clock.setTimer(INTERVAL_MS, () => {
      this.#look(limitBytes);
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(limitBytes: number): void {
    const share = this.#parts.usedBytes() / limitBytes;
    const level = nextLevel(this.level, share);
    if (isWorse(level, this.level) && this.#collectFirst()) return;
    const isNews = level !== this.level || level === "shed";
    this.level = level;
    if (isNews) this.#parts.onLevel(level, share);
  }

  /** True: a collection was started, look again. */
  #collectFirst(): boolean {
    const nowMs = this.#parts.clock.nowMs();
    if (nowMs - this.#collectedMs < COLLECT_PAUSE_MS) return false;
    this.#collectedMs = nowMs;
    this.#parts.collect();
    return true;
  }
}

const ORDER: readonly OverloadLevel[] = ["normal", "refuse", "shed"];

function isWorse(level: OverloadLevel, than: OverloadLevel): boolean {
  return ORDER.indexOf(level) > ORDER.indexOf(than);
}

/** The memory limit of our cgroup in bytes, v2 before v1; undefined = none, or not told. */
export function readMemoryLimit(readFile: (path: string) => string): number | undefined {
  for (const path of ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]) {
    try {
      const limit = Number(readFile(path).trim());
      if (Number.isFinite(limit) && limit > 0 && limit < NO_LIMIT) return limit;
    } catch {
      // The other version of cgroups, or none.
    }
  }
  return undefined;
}

/** A data thread's old space in MiB: 60 % of the limit, shared among the threads (contracts.md: memory); undefined = Node's own default. */
export function heapLimitMb(limitBytes: number | undefined, threads: number): number | undefined {
  if (limitBytes === undefined) return undefined;
  return Math.max(32, Math.floor((limitBytes * 0.6) / 1048576 / threads));
}
