// The rate-limit filter: token buckets of this proxy, per key where asked, exact among its workers.
import { KeyedBuckets, keyedBucketCells } from "#lib/keyed-buckets.ts";
import { TOKEN_BUCKET_CELLS, TokenBucket, type TokenVerdict } from "#lib/token-bucket.ts";

import { ANSWERED, CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";

import {
  ENVOY_LOCAL_RATE_LIMIT,
  HEDDLE_RATE_LIMIT,
  parseRateLimit,
  type RateBucket,
  type RateKey,
  type RateLimitConfig,
} from "./config.ts";

export const localRateLimitFilter = {
  name: "envoy.filters.http.local_ratelimit",
  typeUrls: [ENVOY_LOCAL_RATE_LIMIT, HEDDLE_RATE_LIMIT],
  failureMode: "open",
  perRoute: "settings",
  parse: parseRateLimit,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<RateLimitConfig>;

interface CompiledBucket {
  readonly config: RateBucket;
  take(exchange: Exchange, nowMs: number): TokenVerdict;
  giveBack(exchange: Exchange, nowMs: number): void;
}

/** A token that is put back if the tunnel was opened in vain; after `untilMs` it has come back by itself. */
interface Taken {
  readonly bucket: CompiledBucket;
  readonly untilMs: number;
}

interface Limited {
  /** Of the tightest bucket, where the answer shows it. */
  readonly headers: Headers | undefined;
  /** Undefined but for tunnels. */
  readonly taken: readonly Taken[] | undefined;
}

interface Headers {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

function makeFilter(base: RateLimitConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const compiled = new WeakMap<RateLimitConfig, readonly CompiledBucket[]>();
  const limited = context.metrics.counter("heddle_rate_limited_total", "Requests that a local rate limit refused.", {
    listener: context.listener,
  });
  const bucketsOf = (config: RateLimitConfig): readonly CompiledBucket[] => {
    let buckets = compiled.get(config);
    if (buckets === undefined) {
      buckets = config.buckets.map((bucket) => compileBucket(bucket, config.rule, context));
      compiled.set(config, buckets);
    }
    return buckets;
  };
  return {
    name: context.name,
    onRouted(exchange) {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true) return CONTINUE;
      const config = override === undefined ? base : (override.config as RateLimitConfig); // as: parse made it
      const nowMs = context.clock.nowMs();
      let tightest: Headers | undefined;
      const taken: Taken[] | undefined = exchange.isTerminated ? [] : undefined;
      for (const bucket of bucketsOf(config)) {
        const verdict = bucket.take(exchange, nowMs);
        const limit = bucket.config.spec.maxTokens;
        if (!verdict.allowed) {
          limited.add(1);
          refuse(exchange, config, bucket.config, verdict);
          return ANSWERED;
        }
        taken?.push({ bucket, untilMs: nowMs + verdict.resetMs });
        if (tightest === undefined || verdict.remaining < tightest.remaining)
          tightest = { limit, remaining: verdict.remaining, resetMs: verdict.resetMs };
      }
      const headers = config.hasHeaders ? tightest : undefined;
      if (headers !== undefined || taken !== undefined) exchange.slots[slot] = { headers, taken } satisfies Limited;
      return CONTINUE;
    },
    onResponseHead(exchange, head) {
      const { headers } = limitedOf(exchange, slot);
      if (headers === undefined) return CONTINUE;
      head.set("x-ratelimit-limit", String(headers.limit));
      head.set("x-ratelimit-remaining", String(headers.remaining));
      head.set("x-ratelimit-reset", String(Math.ceil(headers.resetMs / 1000)));
      return CONTINUE;
    },
    onDone(exchange) {
      if (!exchange.isUnused) return;
      const nowMs = context.clock.nowMs();
      for (const { bucket, untilMs } of limitedOf(exchange, slot).taken ?? [])
        if (nowMs < untilMs) bucket.giveBack(exchange, nowMs);
    },
  };
}

const NOT_LIMITED: Limited = { headers: undefined, taken: undefined };

function limitedOf(exchange: Exchange, slot: number): Limited {
  return (exchange.slots[slot] as Limited | undefined) ?? NOT_LIMITED; // as: only this filter writes its slot
}

function refuse(exchange: Exchange, config: RateLimitConfig, bucket: RateBucket, verdict: TokenVerdict): void {
  const { maxTokens, tokensPerFill, fillIntervalMs } = bucket.spec;
  const seconds = Number.isFinite(verdict.retryAfterMs) ? Math.max(1, Math.ceil(verdict.retryAfterMs / 1000)) : 1;
  const headers: (readonly [string, string])[] = [["retry-after", String(seconds)]];
  if (config.hasHeaders) {
    headers.push(
      ["x-ratelimit-limit", String(maxTokens)],
      ["x-ratelimit-remaining", "0"],
      ["x-ratelimit-reset", String(Math.ceil(verdict.resetMs / 1000))],
    );
  }
  headers.push(["x-envoy-ratelimited", "true"], ...config.headersToAdd);
  const which = bucket.name === "" ? "" : ` (bucket "${bucket.name}")`;
  exchange.answer({
    status: config.status,
    flag: "RL",
    code: "rate_limited",
    proxyStatus: "http_request_denied",
    detail: `${config.rule === "" ? "the local rate limit" : config.rule}${which} allows ${tokensPerFill} requests per ${fillIntervalMs} ms with a burst of ${maxTokens}`,
    rule: config.rule,
    headers,
  });
}

/** Buckets live under the rule's name and their definition: a changed bucket begins anew, everything else is kept. */
function compileBucket(config: RateBucket, rule: string, context: FilterContext): CompiledBucket {
  const { maxTokens, tokensPerFill, fillIntervalMs } = config.spec;
  const key = `rate-limit/${rule === "" ? context.listener : rule}/${config.name}/${maxTokens}/${tokensPerFill}/${fillIntervalMs}`;
  if (config.keys.length === 0) {
    const bucket = new TokenBucket(config.spec, context.cells(key, TOKEN_BUCKET_CELLS));
    return {
      config,
      take: (_exchange, nowMs) => bucket.tryTake(nowMs),
      giveBack: (_exchange, nowMs) => bucket.giveBack(nowMs),
    };
  }
  const table = new KeyedBuckets(config.spec, context.cells(key, keyedBucketCells(config.maxKeys)));
  const readers = config.keys.map(compileKey);
  const keyOf = (exchange: Exchange): string => readers.map((read) => read(exchange)).join("\u0000");
  return {
    config,
    take: (exchange, nowMs) => table.tryTake(keyOf(exchange), nowMs),
    giveBack: (exchange, nowMs) => table.giveBack(keyOf(exchange), nowMs),
  };
}

function compileKey(key: RateKey): (exchange: Exchange) => string {
  switch (key.type) {
    case "header":
      return (exchange) => exchange.request.getJoined(key.name) ?? "";
    case "tenant":
      return (exchange) => String(exchange.notes.get("tenant") ?? "");
    case "identity":
      return (exchange) => exchange.connection.peerIdentity ?? "";
    case "remoteAddress":
      return (exchange) => exchange.connection.remoteAddress;
    case "method":
      return (exchange) => exchange.request.get(":method") ?? "";
    case "path":
      return (exchange) => (exchange.request.get(":path") ?? "").split("?", 1)[0] ?? "";
    default:
      return key satisfies never;
  }
}
