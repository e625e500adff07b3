// Faults that can be switched on in a running application, so that a test can make one instance bad.

/** How an application misbehaves; an empty fault is none. */
export interface Fault {
  /** Status to answer with; 0 closes the connection without an answer. Default 503. */
  readonly status?: number;
  /** Fail every Nth request (1: all). */
  readonly everyNth?: number;
  /** Fail this share of requests, 0 to 100. */
  readonly percent?: number;
  /** Wait this many milliseconds before the work of every request. */
  readonly delayMs?: number;
  /** Fail `before` the work is done, or `after` (default): the caller cannot know that it was executed. */
  readonly when?: "before" | "after";
}

const KEYS: ReadonlySet<string> = new Set(["status", "everyNth", "percent", "delayMs", "when"]);

/** Decides for each request whether it fails. */
export class Faults {
  #fault: Fault;
  #requests = 0;
  readonly #random: () => number;

  constructor(fault: Fault = {}, random: () => number = Math.random) {
    this.#fault = fault;
    this.#random = random;
  }

  get current(): Fault {
    return this.#fault;
  }

  /** Replaces the fault (`{}` heals) and starts counting again. Throws on a field that does not exist. */
  set(fault: unknown): void {
    if (typeof fault !== "object" || fault === null) throw new TypeError("a fault is a JSON object");
    for (const key of Object.keys(fault)) {
      if (!KEYS.has(key)) throw new TypeError(`a fault has no field "${key}": one of ${[...KEYS].join(", ")}`);
    }
    this.#fault = fault;
    this.#requests = 0;
  }

  /** Counts one request; true when it is to fail. */
  strikes(): boolean {
    this.#requests += 1;
    const { everyNth = 0, percent = 0 } = this.#fault;
    if (everyNth > 0 && this.#requests % everyNth === 0) return true;
    return percent > 0 && this.#random() * 100 < percent;
  }
}
