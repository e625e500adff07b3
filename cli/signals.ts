// Turns the signals that ask a process to end into aborts: the first asks for a clean end, a later one for an immediate one.

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Signals this close to the first are the same request: timeout(1) and terminals send one to a process and to its group. */
const SAME_MS = 500;

export interface Termination {
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal;
  /** Aborted by a second one. */
  readonly hurry: AbortSignal;
  /** Stops listening. */
  dispose(): void;
}

/** Who tells of signals: the process, or a test's own emitter (the test runner listens to the process's too). */
export interface SignalSource {
  on(name: string, listener: () => void): unknown;
  off(name: string, listener: () => void): unknown;
}

/** `nowMs` is monotonic. */
export function untilTerminated(
  nowMs: () => number = () => performance.now(),
  source: SignalSource = process,
): Termination {
  const first = new AbortController();
  const second = new AbortController();
  let firstMs: number | undefined;
  const onSignal = (): void => {
    if (firstMs === undefined) {
      firstMs = nowMs();
      first.abort();
    } else if (nowMs() - firstMs > SAME_MS) {
      second.abort();
    }
  };
  for (const name of SIGNALS) source.on(name, onSignal);
  return {
    signal: first.signal,
    hurry: second.signal,
    dispose: () => {
      for (const name of SIGNALS) source.off(name, onSignal);
    },
  };
}
