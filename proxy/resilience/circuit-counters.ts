// Envoy's circuit breakers: how many connections, waiting requests, requests and retries a cluster may have at once.
import type { CircuitLimits } from "#config/model/cluster.ts";
import { retryLimit } from "./retry-budget.ts";
import type { Shares } from "./shared-cells.ts";

export const CIRCUIT_CELLS = 4;
const CONNECTIONS = 0;
const PENDING = 1;
const REQUESTS = 2;
const RETRIES = 3;

/**
 * Counts in cells that all workers share, so that a limit is one of the process. Each `tryX` that answered true is given
 * back by its `releaseX`. Limits may change at any time; what is over a lowered limit runs out by itself.
 */
export class CircuitCounters {
  limits: CircuitLimits;
  readonly #cells: Int32Array;
  /** This worker's part, which its successor gives back if it dies; nobody else writes there. */
  readonly #own: Int32Array;

  constructor(limits: CircuitLimits, shares: Shares = makeOwnShares()) {
    this.limits = limits;
    this.#cells = shares.total;
    this.#own = shares.own;
  }

  get connections(): number {
    return Atomics.load(this.#cells, CONNECTIONS);
  }

  get pending(): number {
    return Atomics.load(this.#cells, PENDING);
  }

  get requests(): number {
    return Atomics.load(this.#cells, REQUESTS);
  }

  get retries(): number {
    return Atomics.load(this.#cells, RETRIES);
  }

  tryConnection(): boolean {
    return this.#tryAdd(CONNECTIONS, this.limits.maxConnections);
  }

  /** Counts a connection over the limit: a pool without any may open one, or its waiters would wait for ever. */
  forceConnection(): void {
    this.#take(CONNECTIONS);
  }

  releaseConnection(): void {
    this.#release(CONNECTIONS);
  }

  tryPending(): boolean {
    return this.#tryAdd(PENDING, this.limits.maxPendingRequests);
  }

  releasePending(): void {
    this.#release(PENDING);
  }

  tryRequest(): boolean {
    return this.#tryAdd(REQUESTS, this.limits.maxRequests);
  }

  releaseRequest(): void {
    this.#release(REQUESTS);
  }

  /** By the retry budget when there is one, else by `maxRetries`. */
  tryRetry(isUnprocessed = false): boolean {
    const { retryBudget, maxRetries } = this.limits;
    return this.#tryAdd(RETRIES, retryLimit(retryBudget, maxRetries, this.requests, isUnprocessed));
  }

  releaseRetry(): void {
    this.#release(RETRIES);
  }

  #tryAdd(cell: number, limit: number): boolean {
    if (Atomics.add(this.#cells, cell, 1) < limit) {
      this.#own[cell] = (this.#own[cell] ?? 0) + 1;
      return true;
    }
    Atomics.sub(this.#cells, cell, 1);
    return false;
  }

  #take(cell: number): void {
    Atomics.add(this.#cells, cell, 1);
    this.#own[cell] = (this.#own[cell] ?? 0) + 1;
  }

  #release(cell: number): void {
    this.#own[cell] = (this.#own[cell] ?? 0) - 1;
    Atomics.sub(this.#cells, cell, 1);
  }
}

function makeOwnShares(): Shares {
  return { total: new Int32Array(CIRCUIT_CELLS), own: new Int32Array(CIRCUIT_CELLS) };
}
