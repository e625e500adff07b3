// The fallback filter: in place of a failure, the answer of another service, else the last good answer to the same request, else a
// fixed one. It sees what all filters behind it answered.
import { HeaderBlock } from "#lib/http/header-block.ts";

import {
  ANSWERED,
  CONTINUE,
  type Diversion,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
} from "../filter.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";

import { AnswerCache, type StoredAnswer } from "./cache.ts";

interface FixedAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly grpcStatus: number;
}

interface CacheSettings {
  readonly maxAgeMs: number;
  readonly maxEntries: number;
  /** Of keys, headers and bodies together, in each worker. */
  readonly maxBytes: number;
  readonly keyHeaders: readonly string[];
}

export interface FallbackConfig {
  readonly rule: string;
  /** Codes of local replies (docs/errors.md). */
  readonly codes: ReadonlySet<string>;
  readonly statuses: readonly number[];
  readonly service: Diversion | undefined;
  readonly cached: CacheSettings | undefined;
  readonly fixed: FixedAnswer | undefined;
}

/** The words of FallbackPolicy, and the local replies that they mean. */
const CODES: Readonly<Record<string, readonly string[]>> = {
  breakerOpen: ["breaker_open"],
  noHealthyEndpoint: ["no_healthy_upstream", "colour_unavailable", "cluster_not_found"],
  timeout: ["upstream_timeout", "upstream_per_try_timeout", "max_stream_duration", "stream_idle_timeout"],
  connectFailure: ["upstream_connect_failure", "upstream_connect_timeout", "upstream_tls_failure"],
  reset: [
    "upstream_reset",
    "upstream_reset_before_request",
    "upstream_refused_stream",
    "upstream_protocol_error",
    "fault_injected",
  ],
  overloaded: [
    "upstream_overflow",
    "overloaded",
    "bulkhead_full",
    "admission_denied",
    "concurrency_limit_reached",
    "memory_exhausted",
  ],
  rateLimited: ["rate_limited"],
};

/** What an answer may not have to be kept. */
const PRIVATE = /(?:^|[\s,])(?:private|no-store|no-cache)(?:$|[\s,=])/i;
/** Headers of one answer alone, or of one connection; what a limit says is of one client and one moment. */
const NOT_KEPT = new Set([
  "date",
  "age",
  "x-request-id",
  "x-envoy-upstream-service-time",
  "x-envoy-attempt-count",
  "ratelimit",
  "ratelimit-policy",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "connection",
  "transfer-encoding",
  "content-length",
  ":status",
]);

/** The whole stream's time is over: nobody can be asked any more. */
const TOO_LATE: ReadonlySet<string> = new Set(["max_stream_duration", "stream_idle_timeout"]);

interface Slot {
  /** The request may be kept under it; undefined: it may not. */
  key: string | undefined;
  /** Of the good answer that comes; undefined: it is not kept. */
  headers: readonly (readonly [name: string, value: string])[] | undefined;
  chunks: Buffer[];
  bytes: number;
}

export const fallbackFilter = {
  name: "heddle.fallback",
  typeUrls: ["type.googleapis.com/heddle.filters.fallback.v1.Fallback"],
  failureMode: "open",
  perRoute: "settings",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const words = reader.strings("conditions");
    for (const [index, word] of words.entries())
      if (CODES[word] === undefined)
        throw new FilterConfigError(`conditions[${index}]`, Object.keys(CODES).join(" or "), word);
    const config = {
      rule: reader.string("rule", ""),
      codes: new Set(words.flatMap((word) => CODES[word] ?? [])),
      statuses: reader.numbers("statuses"),
      service: readService(reader.object("service")),
      cached: readCached(reader.object("cached")),
      fixed: readFixed(reader.object("static")),
    };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<FallbackConfig>;

function readService(reader: ConfigReader | undefined): Diversion | undefined {
  if (reader === undefined) return undefined;
  const labels = reader.objects("subset").map((label) => {
    const pair = [label.string("key"), label.string("value")] as const;
    label.done();
    return pair;
  });
  const timeoutMs = reader.value("timeoutMs") === undefined ? undefined : reader.number("timeoutMs", undefined, 0);
  const service = {
    cluster: reader.string("cluster"),
    subset: Object.fromEntries(labels),
    timeoutMs,
  };
  reader.done();
  return service;
}

function readCached(reader: ConfigReader | undefined): CacheSettings | undefined {
  if (reader === undefined) return undefined;
  const settings = {
    maxAgeMs: reader.number("maxAgeMs", 300_000, 0),
    maxEntries: reader.number("maxEntries", 1000, 1),
    maxBytes: reader.number("maxBytes", 16_777_216, 1),
    keyHeaders: reader.strings("keyHeaders"),
  };
  reader.done();
  return settings;
}

function readFixed(reader: ConfigReader | undefined): FixedAnswer | undefined {
  if (reader === undefined) return undefined;
  const fixed = {
    status: reader.number("status", 200, 200, 599),
    contentType: reader.string("contentType", "application/json"),
    body: Buffer.from(reader.string("body", "")),
    headers: reader.objects("headers").map((header) => {
      const pair = [header.string("name"), header.string("value")] as const;
      header.done();
      return pair;
    }),
    grpcStatus: reader.number("grpcStatus", 14, 0, 16),
  };
  reader.done();
  return fixed;
}

function makeFilter(base: FallbackConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const served = context.metrics.counter("heddle_fallbacks_total", "Requests that a fallback answered.", {
    listener: context.listener,
  });
  const configOf = (exchange: Exchange): FallbackConfig | undefined => {
    const override = exchange.override(context.name);
    if (override === undefined) return base;
    return override.isDisabled ? undefined : (override.config as FallbackConfig); // as: parse made it
  };
  const caches = new WeakMap<CacheSettings, AnswerCache>();
  const cacheOf = (rule: string, settings: CacheSettings): AnswerCache => {
    let cache = caches.get(settings);
    if (cache === undefined) {
      const { maxEntries, maxBytes } = settings;
      cache = context.keep(`fallback ${rule}`, JSON.stringify(settings), () => new AnswerCache(maxEntries, maxBytes));
      caches.set(settings, cache);
    }
    return cache;
  };
  const tell = (exchange: Exchange, { rule }: FallbackConfig, what: string): void => {
    exchange.note("fallback", what);
    if (rule !== "") exchange.note("fallback_rule", rule);
    served.add(1);
  };
  return {
    name: context.name,
    onRouted(exchange) {
      const config = configOf(exchange);
      if (config?.service !== undefined) exchange.keepForAnother();
      const key = config?.cached === undefined ? undefined : keyOf(exchange, config.cached);
      if (key !== undefined) exchange.slots[slot] = { key, headers: undefined, chunks: [], bytes: 0 } satisfies Slot;
      return CONTINUE;
    },
    onResponseHead(exchange, head, end) {
      const config = configOf(exchange);
      if (config === undefined) return CONTINUE;
      const state = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
      if (!isDegraded(exchange, head, config)) {
        if (state !== undefined && config.cached !== undefined && isOwn(exchange))
          beginKeeping(state, head, end, config.cached);
        return CONTINUE;
      }
      const { service: other, cached, fixed } = config;
      const cause = exchange.localReply?.code ?? `status ${head.get(":status")}`;
      if (other !== undefined && !exchange.isDiverted && !TOO_LATE.has(cause)) {
        if (exchange.divert(other)) {
          tell(exchange, config, `service ${other.cluster} for ${cause}`);
          return ANSWERED;
        }
        exchange.note("fallback_refused", `${other.cluster} cannot be asked`);
      }
      const nowMs = context.clock.nowMs();
      const stored =
        cached !== undefined && state?.key !== undefined
          ? cacheOf(config.rule, cached).get(state.key, nowMs, cached.maxAgeMs)
          : undefined;
      if (stored === undefined && fixed === undefined) return CONTINUE;
      tell(exchange, config, `${stored === undefined ? "static" : "cached"} for ${cause}`);
      const proxyStatus = head.getJoined("proxy-status");
      const whole = stored === undefined ? fixedHead(fixed, exchange) : storedHead(stored, nowMs);
      if (proxyStatus !== undefined) whole.head.add("proxy-status", proxyStatus);
      exchange.substitute(whole.head, exchange.request.get(":method") === "HEAD" ? NOTHING : whole.body);
      return ANSWERED;
    },
    onResponseData(exchange, bytes, start, end, last) {
      const state = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
      if (state?.headers === undefined) return CONTINUE;
      const config = configOf(exchange);
      if (config?.cached === undefined) return CONTINUE;
      const cache = cacheOf(config.rule, config.cached);
      state.bytes += end - start;
      if (state.bytes > cache.maxBodyBytes) {
        state.headers = undefined;
        state.chunks = [];
        return CONTINUE;
      }
      if (end > start) state.chunks.push(Buffer.from(bytes.subarray(start, end)));
      if (!last || state.key === undefined) return CONTINUE;
      cache.put(state.key, {
        headers: state.headers,
        body: Buffer.concat(state.chunks),
        storedMs: context.clock.nowMs(),
      });
      state.headers = undefined;
      return CONTINUE;
    },
  };
}

const NOTHING = Buffer.alloc(0);

/** The service's own answer. */
function isOwn(exchange: Exchange): boolean {
  return exchange.localReply === undefined && !exchange.isDiverted;
}

function isDegraded(exchange: Exchange, head: HeaderBlock, config: FallbackConfig): boolean {
  const { localReply } = exchange;
  // Its peer would take a good answer for a tunnel, and the body for what comes through it.
  if (exchange.request.get(":method") === "CONNECT") return false;
  if (localReply !== undefined) return config.codes.has(localReply.code);
  return config.statuses.length > 0 && config.statuses.includes(Number(head.get(":status")));
}

/**
 * HEAD is answered from what GET left. Undefined: answers to this request are nobody else's, or not to be repeated. Who asked and
 * where that went are parts of it: an answer may be the caller's own, by its certificate, and that of a version or a colour.
 */
function keyOf(exchange: Exchange, { keyHeaders }: CacheSettings): string | undefined {
  const { request } = exchange;
  const method = request.get(":method");
  if (method !== "GET" && method !== "HEAD") return undefined;
  if (request.has("authorization") || (request.has("cookie") && !keyHeaders.includes("cookie"))) return undefined;
  if (request.has("range")) return undefined;
  const { notes } = exchange;
  const colours = [...notes].filter(([name]) => name.startsWith("colour_")).flat();
  const parts = [
    String(notes.get("tenant") ?? ""),
    colours.join("\u0000"),
    exchange.connection.peerIdentity ?? "",
    exchange.cluster?.name ?? "",
    exchange.backend,
    exchange.route?.name ?? "",
    request.get(":authority") ?? "",
    request.get(":path") ?? "",
    request.getJoined("accept") ?? "",
    request.getJoined("accept-encoding") ?? "",
    ...keyHeaders.map((name) => request.getJoined(name) ?? ""),
  ];
  return JSON.stringify(parts);
}

function beginKeeping(state: Slot, head: HeaderBlock, end: boolean, settings: CacheSettings): void {
  if (head.get(":status") !== "200" || end || head.has("set-cookie")) return;
  if (PRIVATE.test(head.getJoined("cache-control") ?? "")) return;
  const known = new Set(["accept", "accept-encoding", ...settings.keyHeaders]);
  const vary = (head.getJoined("vary") ?? "").toLowerCase().split(",");
  if (vary.some((name) => name.trim() !== "" && !known.has(name.trim()))) return;
  const headers: (readonly [string, string])[] = [];
  for (let i = 0; i < head.length; i++) {
    const name = head.nameAt(i);
    if (!NOT_KEPT.has(name) && !name.startsWith("heddle-")) headers.push([name, head.valueAt(i)]);
  }
  state.headers = headers;
}

interface WholeAnswer {
  readonly head: HeaderBlock;
  readonly body: Buffer;
}

/** RFC 9111 §5.1 and, for those who still read it, §5.5 of RFC 7234. */
function storedHead({ headers, body, storedMs }: StoredAnswer, nowMs: number): WholeAnswer {
  const head = HeaderBlock.of([":status", "200"], ...headers);
  head.set("age", String(Math.floor((nowMs - storedMs) / 1000)));
  head.add("warning", '111 - "Revalidation Failed"');
  head.set("content-length", String(body.length));
  return { head, body };
}

function fixedHead(fixed: FixedAnswer | undefined, exchange: Exchange): WholeAnswer {
  const grpcStatus = String(fixed?.grpcStatus ?? 14);
  if (exchange.isGrpc) {
    const head = HeaderBlock.of([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", grpcStatus]);
    return { head, body: NOTHING };
  }
  const head = HeaderBlock.of([":status", String(fixed?.status ?? 200)], ...(fixed?.headers ?? []));
  const body = fixed === undefined || fixed.status === 204 || fixed.status === 304 ? NOTHING : fixed.body;
  if (body.length > 0 && fixed !== undefined) head.set("content-type", fixed.contentType);
  if (fixed?.status !== 204) head.set("content-length", String(body.length));
  return { head, body };
}
