// Time as a value: algorithms never read the clock themselves.

/** Monotonic time for durations, wall time for certificates, logs and dates of messages alone; both in ms. */
export interface Clock {
  /** Monotonic, with fractions. */
  nowMs(): number;
  /** The latest `nowMs` that anybody in the thread asked for: where ten milliseconds do not matter and 50 ns do. */
  recentMs(): number;
  /** Unix time. */
  wallMs(): number;
  /** Calls back once after `delayMs`; the timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Node's global is a getter: to ask it each time makes a reading of 47 ns one of 76. */
const { performance } = globalThis;

/** `performance.now` starts anew in each thread; this offset makes all threads of a process read the same instant. */
const threadOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** In an array, for a number with fractions that is kept in a variable is a new object each time. */
const latest = new Float64Array(1);

/** The real clock; its monotonic time is the same in all threads of the machine. */
export const systemClock: Clock = {
  nowMs: () => (latest[0] = performance.now() + threadOffsetMs),
  recentMs: () => latest[0] ?? 0,
  wallMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
