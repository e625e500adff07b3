// Turns the signals that ask a process to end into an abort.

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export interface Termination {
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal;
  /** Stops listening; the next signal ends the process as usual. */
  dispose(): void;
}

/** A second signal finds no handler any more, and ends the process at once. */
export function untilTerminated(): Termination {
  const controller = new AbortController();
  const dispose = (): void => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  const onSignal = (): void => {
    dispose();
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return { signal: controller.signal, dispose };
}
