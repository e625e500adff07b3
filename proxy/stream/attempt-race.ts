// Attempts of one request that run beside each other (hedging): the first good answer wins, and the others are given up.
import type { UpstreamAttempt } from "./attempt.ts";

/** gRPC codes that say that another instance may do better: CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE. */
const BAD_GRPC: ReadonlySet<number> = new Set([1, 4, 8, 13, 14]);

/** An answer that does not win while others may still come. */
export function isBadAnswer(status: number, grpcStatus: number | undefined): boolean {
  return status >= 500 || (grpcStatus !== undefined && BAD_GRPC.has(grpcStatus));
}

export class AttemptRace {
  readonly #runners: UpstreamAttempt[];

  constructor(first: UpstreamAttempt) {
    this.#runners = [first];
  }

  get size(): number {
    return this.#runners.length;
  }

  /** The youngest. */
  get last(): UpstreamAttempt | undefined {
    return this.#runners.at(-1);
  }

  has(attempt: UpstreamAttempt): boolean {
    return this.#runners.includes(attempt);
  }

  hasEndpointOf(attempt: Pick<UpstreamAttempt, "endpoint">): boolean {
    const { endpoint } = attempt;
    return this.#runners.some(
      (one) => one.endpoint?.address === endpoint?.address && one.endpoint?.port === endpoint?.port,
    );
  }

  add(attempt: UpstreamAttempt): void {
    this.#runners.push(attempt);
  }

  leave(attempt: UpstreamAttempt): void {
    const index = this.#runners.indexOf(attempt);
    if (index >= 0) this.#runners.splice(index, 1);
  }

  /** Resets all but this one; they did nothing wrong. */
  giveUpOthers(winner: UpstreamAttempt | undefined, nowMs: number): void {
    for (const runner of this.#runners) if (runner !== winner) runner.giveUp(nowMs);
    this.#runners.length = 0;
    if (winner !== undefined) this.#runners.push(winner);
  }
}
