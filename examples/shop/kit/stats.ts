// What an application counts about its own requests, so that a test can ask it how often something was really executed.

import { Recent } from "./recent.ts";

/** One arrival of a request at this instance. */
export interface Arrival {
  /** `Idempotency-Key`, else `x-request-id`, else empty. */
  readonly key: string;
  readonly method: string;
  readonly path: string;
  /** Milliseconds since 1970 by the process's monotonic clock, with fractions: comparable between processes of one machine. */
  readonly atMs: number;
  /** The headers that tell where it came from: trace context, tenant, and the peer that a sidecar verified. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The answer of `GET /_stats`. */
export interface StatsReport {
  readonly instance: string;
  /** Requests that arrived (administrative paths and `/healthz` not counted). */
  readonly received: number;
  /** Of these, failed by a fault. */
  readonly failed: number;
  /** Of these, with a trace header. */
  readonly traced: number;
  readonly tenants: Readonly<Record<string, number>>;
  /** How often the work was done, by key. */
  readonly executions: Readonly<Record<string, number>>;
  readonly arrivals: readonly Arrival[];
}

/** Arrivals and keys kept; older ones are forgotten. */
const KEPT = 10_000;

export class Stats {
  #received = 0;
  #failed = 0;
  #traced = 0;
  readonly #tenants = new Map<string, number>();
  readonly #executions = new Recent<number>(KEPT);
  #arrivals: Arrival[] = [];

  arrived(arrival: Arrival, isTraced: boolean, tenant: string): void {
    this.#received += 1;
    if (isTraced) this.#traced += 1;
    if (tenant !== "") this.#tenants.set(tenant, (this.#tenants.get(tenant) ?? 0) + 1);
    if (this.#arrivals.length >= KEPT) this.#arrivals = this.#arrivals.slice(KEPT / 2);
    this.#arrivals.push(arrival);
  }

  executed(key: string): void {
    this.#executions.set(key, (this.#executions.get(key) ?? 0) + 1);
  }

  failed(): void {
    this.#failed += 1;
  }

  reset(): void {
    this.#received = 0;
    this.#failed = 0;
    this.#traced = 0;
    this.#tenants.clear();
    this.#executions.clear();
    this.#arrivals = [];
  }

  report(instance: string): StatsReport {
    return {
      instance,
      received: this.#received,
      failed: this.#failed,
      traced: this.#traced,
      tenants: Object.fromEntries(this.#tenants),
      executions: Object.fromEntries(this.#executions.entries()),
      arrivals: this.#arrivals,
    };
  }
}
