// Time as a value: algorithms never read the clock themselves.

/** Monotonic time for durations, wall time for certificates and logs alone; both in ms. */
export interface Clock {
  /** Monotonic, with fractions. */
  nowMs(): number;
  /** Unix time. */
  wallMs(): number;
  /** Calls back once after `delayMs`; the timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The real clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
