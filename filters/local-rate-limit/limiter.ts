// What both kinds of limits say of one request.
import type { Exchange } from "../filter.ts";
import type { Buckets } from "./buckets.ts";

/** A token that is put back if the request is given up before it was served; after `untilMs` it has come back by itself. */
export interface Taken {
  readonly buckets: Buckets;
  readonly key: string;
  readonly untilMs: number;
}

/** The bucket that decided, or the tightest of those that let the request pass. */
export interface Standing {
  /** As the policy and the metrics name it. */
  readonly rule: string;
  readonly bucket: string;
  readonly limit: number;
  readonly remaining: number;
  /** Ms until there is a whole token. */
  readonly nextMs: number;
  readonly retryAfterMs: number;
  /** For people: what the bucket allows. */
  readonly allows: string;
  readonly grpcStatus: number | undefined;
  /** `RateLimit-Policy`: all buckets that are for the request. */
  readonly policies: string;
}

export interface Outcome {
  readonly isAllowed: boolean;
  /** Undefined: no bucket is for this request. */
  readonly standing: Standing | undefined;
  readonly taken: readonly Taken[];
  /** The request's place among those that wait; undefined: it need not. */
  readonly wait: Wait | undefined;
}

/** A place in the queue of a leaky bucket. */
export interface Wait {
  readonly buckets: Buckets;
  readonly key: string;
  /** The queue of this bucket and key. */
  readonly queue: string;
  readonly waitMs: number;
  readonly intervalMs: number;
}

export interface Limiter {
  check(exchange: Exchange, nowMs: number): Outcome;
}
