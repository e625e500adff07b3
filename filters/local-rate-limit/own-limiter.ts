// The limits of our own message: several buckets, each of which must have a token.
import type { TokenVerdict } from "#lib/token-bucket.ts";

import type { Exchange, FilterContext } from "../filter.ts";
import { openBucket, openKeyedBuckets, type Buckets } from "./buckets.ts";
import type { OwnRateLimit, RateBucket } from "./config.ts";
import { compileKeys, compileMatch, joinKey, type KeyReader } from "./keys.ts";
import type { Limiter, Outcome, Standing, Taken, Wait } from "./limiter.ts";
import type { BucketCounters } from "./counters.ts";

interface CompiledBucket {
  readonly config: RateBucket;
  /** Its own in this proxy. */
  readonly name: string;
  /** What clients and metrics call it. */
  readonly label: string;
  readonly allows: string;
  /** Its item of `RateLimit-Policy`. */
  readonly policy: string;
  readonly isFor: ((exchange: Exchange) => boolean) | undefined;
  readonly keyOf: KeyReader | undefined;
  readonly buckets: Buckets;
  readonly quotas: ReadonlyMap<string, CompiledQuota> | undefined;
  readonly counters: ReturnType<BucketCounters["of"]>;
}

/** What one key has in the place of the bucket's own. */
interface CompiledQuota {
  readonly buckets: Buckets;
  readonly allows: string;
  readonly policy: string;
}

type Policies = (exchange: Exchange) => string;

export function makeOwnLimiter(config: OwnRateLimit, context: FilterContext, counters: BucketCounters): Limiter {
  const isShared = new Set(config.buckets.map(({ rule }) => rule)).size > 1;
  const buckets = config.buckets.map((bucket) => compileBucket(bucket, labelOf(bucket, isShared), context, counters));
  const policies = config.hasHeaders ? compilePolicies(buckets) : () => "";
  return { check: (exchange, nowMs) => check(buckets, policies, exchange, nowMs) };
}

/** What is applied to a request: buckets that are for others are not told, and of a quota's key the quota is. */
function compilePolicies(buckets: readonly CompiledBucket[]): Policies {
  const all = buckets.map(({ policy }) => policy).join(", ");
  if (buckets.every(({ isFor, quotas }) => isFor === undefined && quotas === undefined)) return () => all;
  return (exchange) => {
    let policies = "";
    for (const { isFor, quotas, keyOf, policy } of buckets) {
      if (isFor?.(exchange) === false) continue;
      const applied = quotas?.get(keyOf?.(exchange) ?? "")?.policy ?? policy;
      policies = policies === "" ? applied : `${policies}, ${applied}`;
    }
    return policies;
  };
}

function check(buckets: readonly CompiledBucket[], policiesOf: Policies, exchange: Exchange, nowMs: number): Outcome {
  const taken: Taken[] = [];
  let standing: Standing | undefined;
  let wait: Wait | undefined;
  const policies = policiesOf(exchange);
  for (const bucket of buckets) {
    if (bucket.isFor?.(exchange) === false) continue;
    const key = bucket.keyOf?.(exchange) ?? "";
    const quota = bucket.quotas?.get(key);
    const from = quota?.buckets ?? bucket.buckets;
    const verdict = from.take(key, nowMs);
    if (!verdict.allowed) {
      bucket.counters.limited.add(1);
      const refusal = standingOf(bucket, quota?.allows ?? bucket.allows, from, verdict, policies);
      // A request that goes nowhere has used up nothing.
      for (const { buckets: other, key: otherKey } of taken) other.giveBack(otherKey, nowMs);
      return { isAllowed: false, standing: refusal, taken: [], wait: undefined };
    }
    bucket.counters.allowed.add(1);
    taken.push({ buckets: from, key, untilMs: nowMs + verdict.resetMs });
    if (bucket.config.isLeaky) wait = longer(wait, waitOf(bucket, from, key, verdict));
    if (standing === undefined || verdict.remaining < standing.remaining)
      standing = standingOf(bucket, quota?.allows ?? bucket.allows, from, verdict, policies);
  }
  return { isAllowed: true, standing, taken, wait };
}

function waitOf(bucket: CompiledBucket, buckets: Buckets, key: string, verdict: TokenVerdict): Wait | undefined {
  const { fillIntervalMs, tokensPerFill } = buckets.spec;
  const intervalMs = fillIntervalMs / tokensPerFill;
  const waitMs = verdict.resetMs - intervalMs;
  // What is less than a tenth of a millisecond is rounding.
  return waitMs < 0.1 ? undefined : { buckets, key, queue: `${bucket.name}\n${key}`, waitMs, intervalMs };
}

function longer(a: Wait | undefined, b: Wait | undefined): Wait | undefined {
  return a !== undefined && (b === undefined || a.waitMs >= b.waitMs) ? a : b;
}

function standingOf(
  { config, label }: CompiledBucket,
  allows: string,
  { spec }: Buckets,
  verdict: TokenVerdict,
  policies: string,
): Standing {
  return {
    rule: config.rule,
    bucket: label,
    limit: spec.maxTokens,
    remaining: verdict.remaining,
    nextMs: verdict.nextMs,
    retryAfterMs: verdict.retryAfterMs,
    allows,
    grpcStatus: config.grpcStatus,
    policies,
  };
}

/** Buckets of several policies in one filter are told apart by the policy's name. */
function labelOf({ rule, name }: RateBucket, isShared: boolean): string {
  const plain = name === "" ? "default" : name;
  return isShared ? `${rule.slice(rule.lastIndexOf("/") + 1)}/${plain}` : plain;
}

function compileBucket(
  config: RateBucket,
  label: string,
  context: FilterContext,
  counters: BucketCounters,
): CompiledBucket {
  const { rule, keys, quotas, match, isLeaky } = config;
  const name = `${rule === "" ? context.listener : rule}/${config.name}${isLeaky ? "/leaky" : ""}`;
  const buckets =
    keys.length === 0
      ? openBucket(context, name, config.spec)
      : openKeyedBuckets(context, name, config.spec, config.maxKeys);
  return {
    config,
    name,
    label,
    allows: describeAllows(config.spec, isLeaky),
    policy: formatPolicy(label, config.spec),
    isFor: match && compileMatch(match),
    keyOf: keys.length === 0 ? undefined : compileKeys(keys),
    buckets,
    quotas:
      quotas.length === 0
        ? undefined
        : new Map(
            quotas.map(({ values, spec }) => {
              const key = joinKey(values);
              return [
                key,
                {
                  buckets: openBucket(context, `${name}\n${key}`, spec),
                  allows: describeAllows(spec, isLeaky),
                  policy: formatPolicy(label, spec),
                },
              ];
            }),
          ),
    counters: counters.of(rule, config.name),
  };
}

function describeAllows({ maxTokens, tokensPerFill, fillIntervalMs }: RateBucket["spec"], isLeaky: boolean): string {
  const rate = `${tokensPerFill} requests per ${fillIntervalMs} ms`;
  return isLeaky ? `${rate} one by one, and ${maxTokens - 1} waiting` : `${rate} with a burst of ${maxTokens}`;
}

/**
 * An item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 §3): quota and window in whole seconds. A window below a
 * second is none: the quota is then that of one second.
 */
export function formatPolicy(name: string, { tokensPerFill, fillIntervalMs }: RateBucket["spec"]): string {
  const seconds = Math.max(1, Math.round(fillIntervalMs / 1000));
  const quota = Math.max(1, Math.round((tokensPerFill * seconds * 1000) / fillIntervalMs));
  return `"${name.replaceAll(/[^\x20-\x7e]|["\\]/g, "_")}";q=${quota};w=${seconds}`;
}
