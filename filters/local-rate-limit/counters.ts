// Counters of the rate limits of one listener, by policy and bucket.
import type { FilterContext } from "../filter.ts";

type Counter = ReturnType<FilterContext["metrics"]["counter"]>;

export interface BucketCounter {
  readonly allowed: Counter;
  /** No token was there, whether that was enforced or not. */
  readonly limited: Counter;
}

export class BucketCounters {
  /** Answered so. */
  readonly enforced: Counter;
  readonly #context: FilterContext;

  constructor(context: FilterContext) {
    this.#context = context;
    this.enforced = context.metrics.counter("heddle_rate_limited_total", "Requests that a local rate limit refused.", {
      listener: context.listener,
    });
  }

  of(rule: string, bucket: string): BucketCounter {
    const { metrics, listener } = this.#context;
    const counter = (result: string): Counter =>
      metrics.counter("heddle_rate_limit_requests_total", "What local rate limits said of requests, by bucket.", {
        listener,
        rule,
        bucket,
        result,
      });
    return { allowed: counter("allowed"), limited: counter("limited") };
  }
}
