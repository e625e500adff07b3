// The limits of Envoy's message: buckets by descriptor, and one for what no descriptor is for (or for everything).
import type { TokenBucketSpec, TokenVerdict } from "#lib/token-bucket.ts";

import { RequestDescriber, type Descriptor } from "../descriptors/describe.ts";
import type { ConnectionView, FilterContext } from "../filter.ts";
import { openBucket, openKeyedBuckets, type Buckets } from "./buckets.ts";
import type { EnvoyRateLimit } from "./config.ts";
import type { BucketCounters } from "./counters.ts";
import type { Limiter, Outcome, Standing, Taken } from "./limiter.ts";
import { formatPolicy } from "./own-limiter.ts";

const SEPARATOR = "\u0000";

/** Buckets whose entries all have values, by these; and those of which some take any value. */
interface BucketSet {
  readonly fixed: ReadonlyMap<string, Buckets>;
  readonly dynamic: readonly { readonly entries: readonly string[]; readonly buckets: Buckets }[];
  readonly default: Buckets | undefined;
}

/** `name` is that of the configuration, so that what two routes say has two sets of buckets. */
export function makeEnvoyLimiter(
  config: EnvoyRateLimit,
  name: string,
  context: FilterContext,
  counters: BucketCounters,
): Limiter {
  const describer = new RequestDescriber(config.rateLimits, config.stage, context.localCluster);
  const shared = config.perConnection ? undefined : openSet(config, name, context);
  const byConnection = new WeakMap<ConnectionView, BucketSet>();
  const counter = counters.of(config.rule, "");
  const policies = policiesOf(config);
  const setOf = (connection: ConnectionView): BucketSet => {
    if (shared !== undefined) return shared;
    let set = byConnection.get(connection);
    if (set === undefined) {
      set = openSet(config, name, ownCells(context));
      byConnection.set(connection, set);
    }
    return set;
  };
  return {
    check(exchange, nowMs) {
      const set = setOf(exchange.connection);
      const hasDescriptors = set.fixed.size > 0 || set.dynamic.length > 0;
      const descriptors = hasDescriptors ? describer.describe(exchange, config.virtualHostLimits) : NONE;
      const outcome =
        descriptors.length === 0 && set.default !== undefined && !config.hasHeaders && !exchange.isTerminated
          ? takeDefault(set.default, config, policies, nowMs)
          : take(set, descriptors, config, policies, nowMs);
      (outcome.isAllowed ? counter.allowed : counter.limited).add(1);
      return outcome;
    },
  };
}

const NONE: readonly Descriptor[] = [];

const PASSED: Outcome = { isAllowed: true, standing: undefined, taken: [], wait: undefined };

/** For a request that only the one bucket is for, and of which nobody asks more than whether it may pass. */
function takeDefault(buckets: Buckets, config: EnvoyRateLimit, policies: string, nowMs: number): Outcome {
  const verdict = buckets.take("", nowMs);
  if (verdict.allowed) return PASSED;
  return { ...PASSED, isAllowed: false, standing: standingOf(config, buckets.spec, verdict, policies) };
}

/** As Envoy: the slowest of the descriptors' buckets first, and what they took stays taken when a later one has none. */
function take(
  set: BucketSet,
  descriptors: readonly Descriptor[],
  config: EnvoyRateLimit,
  policies: string,
  nowMs: number,
): Outcome {
  const taken: Taken[] = [];
  let first: Standing | undefined;
  const matched = descriptors.length === 0 ? [] : matchAll(set, descriptors);
  for (const { buckets, key, hits } of matched) {
    const verdict = buckets.take(key, nowMs, hits);
    const standing = standingOf(config, buckets.spec, verdict, policies);
    if (!verdict.allowed) return { isAllowed: false, standing, taken, wait: undefined };
    first ??= standing;
    taken.push({ buckets, key, untilMs: nowMs + verdict.resetMs });
  }
  if (set.default !== undefined && (matched.length === 0 || config.alwaysTakesDefault)) {
    const verdict = set.default.take("", nowMs);
    const standing = standingOf(config, set.default.spec, verdict, policies);
    if (!verdict.allowed) return { isAllowed: false, standing, taken, wait: undefined };
    first ??= standing;
    taken.push({ buckets: set.default, key: "", untilMs: nowMs + verdict.resetMs });
  }
  return { isAllowed: true, standing: first, taken, wait: undefined };
}

interface Match {
  readonly buckets: Buckets;
  readonly key: string;
  readonly hits: number;
}

function matchAll(set: BucketSet, descriptors: readonly Descriptor[]): readonly Match[] {
  const matches: Match[] = [];
  for (const { entries, hits = 1 } of descriptors) {
    const key = entries.join(SEPARATOR);
    const fixed = set.fixed.get(key);
    if (fixed !== undefined) {
      matches.push({ buckets: fixed, key: "", hits });
      continue;
    }
    const dynamic = set.dynamic.find((bucket) => isFor(bucket.entries, entries));
    if (dynamic !== undefined) matches.push({ buckets: dynamic.buckets, key, hits });
  }
  return matches.length < 2 ? matches : matches.sort((a, b) => rateOf(a.buckets.spec) - rateOf(b.buckets.spec));
}

function isFor(wanted: readonly string[], entries: readonly string[]): boolean {
  if (wanted.length !== entries.length) return false;
  for (let i = 0; i < wanted.length; i += 2) {
    if (wanted[i] !== entries[i]) return false;
    const value = wanted[i + 1];
    if (value !== "" && value !== entries[i + 1]) return false;
  }
  return true;
}

function rateOf({ tokensPerFill, fillIntervalMs }: TokenBucketSpec): number {
  return tokensPerFill / fillIntervalMs;
}

function openSet(config: EnvoyRateLimit, name: string, context: FilterContext): BucketSet {
  const fixed = new Map<string, Buckets>();
  const dynamic: BucketSet["dynamic"][number][] = [];
  for (const { entries, spec } of config.descriptors) {
    const flat = entries.flatMap(({ key, value }) => [key, value]);
    const own = `${name}/${flat.join("/")}`;
    if (entries.some(({ value }) => value === ""))
      dynamic.push({ entries: flat, buckets: openKeyedBuckets(context, own, spec, config.maxDynamic) });
    else fixed.set(flat.join(SEPARATOR), openBucket(context, own, spec));
  }
  return { fixed, dynamic, default: config.spec && openBucket(context, name, config.spec) };
}

/** For buckets of one connection, which nobody shares and which end with it. */
function ownCells(context: FilterContext): FilterContext {
  return {
    ...context,
    cells: (_key, count) => new Int32Array(count),
    keep: (_key, _definition, make) => make(),
  };
}

function standingOf(config: EnvoyRateLimit, spec: TokenBucketSpec, verdict: TokenVerdict, policies: string): Standing {
  return {
    rule: config.rule,
    bucket: "",
    limit: spec.maxTokens,
    remaining: verdict.remaining,
    nextMs: verdict.nextMs,
    retryAfterMs: verdict.retryAfterMs,
    allows: `${spec.tokensPerFill} requests per ${spec.fillIntervalMs} ms with a burst of ${spec.maxTokens}`,
    grpcStatus: config.grpcStatus,
    policies,
  };
}

function policiesOf(config: EnvoyRateLimit): string {
  const named = config.descriptors.map(({ entries, spec }) =>
    formatPolicy(entries.map(({ key, value }) => (value === "" ? key : `${key}=${value}`)).join(","), spec),
  );
  return [...(config.spec === undefined ? [] : [formatPolicy("default", config.spec)]), ...named].join(", ");
}
