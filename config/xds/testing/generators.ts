// Random models that xDS can say, for the test that what goes out comes back.
import * as fc from "fast-check";
import type { FilterConfig, FilterOverride } from "../../model/filter-config.ts";
import type { HeaderMatcher, QueryMatcher, StringMatcher } from "../../model/matcher.ts";
import type { HeaderMutations, HashPolicy, RetryPolicy, RouteScope } from "../../model/route.ts";
import type { AccessLog, TracingConfig } from "../../model/telemetry.ts";
import type { CertificateSecret, CommonTls, SecretSource, ValidationSource } from "../../model/tls.ts";

export const KNOWN_FILTER = "type.googleapis.com/heddle.filters.v1.Known";
export const KNOWN_ENVOY_FILTER = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

const letters = "abcdefghijklmnopqrstuvwxyz".split("");
export const word = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 8 });
export const maybeWord = fc.option(word, { nil: "" });
export const ip = fc.oneof(fc.ipV4(), fc.constantFrom("::1", "fd00::1:2"));
export const address = fc.record({ address: ip, port: fc.nat(65535) });
/** Milliseconds that protobuf's nanoseconds hold exactly. */
export const ms = fc.oneof(fc.nat(100_000_000), fc.constantFrom(0.5, 0.25, 1.125));
export const positiveMs = fc.integer({ min: 1, max: 100_000_000 });
export const count = fc.nat(100_000);
export const labels = fc.dictionary(word, word, { noNullPrototype: true, maxKeys: 3 });
export const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
export const few = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { maxLength: 3 });
export const struct = fc.dictionary(word, fc.oneof(word, fc.boolean(), fc.nat(), fc.constant(null)), {
  noNullPrototype: true,
  maxKeys: 3,
});

export const stringMatcher: fc.Arbitrary<StringMatcher> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("exact", "prefix", "suffix", "contains"),
    value: word,
    ignoreCase: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("regex"), value: fc.constantFrom("a.*", "[0-9]+", "(?i)x|y") }),
);

export const headerMatcher: fc.Arbitrary<HeaderMatcher> = fc.record({
  name: fc.oneof(word, fc.constantFrom(":method", ":path")),
  match: fc.oneof(
    fc.record({ kind: fc.constant("present"), present: fc.boolean() }),
    fc.record({ kind: fc.constant("range"), start: fc.integer(), end: fc.integer() }),
    fc.record({ kind: fc.constant("string"), matcher: stringMatcher }),
  ),
  invert: fc.boolean(),
  missingAsEmpty: fc.boolean(),
});

export const queryMatcher: fc.Arbitrary<QueryMatcher> = fc.record({
  name: word,
  match: fc.oneof(
    fc.record({ kind: fc.constant("present"), present: fc.boolean() }),
    fc.record({ kind: fc.constant("string"), matcher: stringMatcher }),
  ),
});

export const fraction = fc.constantFrom(
  { numerator: 10, denominator: 100 },
  { numerator: 25, denominator: 10_000 },
  { numerator: 1, denominator: 1_000_000 },
);

const headerValue = fc.record({
  name: fc.constantFrom("x-a", "x-b", "via"),
  value: fc.constantFrom("", "1", "%PROTOCOL%"),
});

const mutations: fc.Arbitrary<HeaderMutations> = fc.record({
  set: few(headerValue),
  add: few(headerValue),
  addIfAbsent: few(headerValue),
  remove: few(word),
});

const filterOverride: fc.Arbitrary<FilterOverride> = fc.oneof(
  fc.record({ filter: word, typeUrl: fc.constant(KNOWN_FILTER), config: struct, disabled: fc.boolean() }),
  fc.record({ filter: word, typeUrl: fc.constant(""), config: fc.constant(null), disabled: fc.constant(true) }),
);

/** In the order of the filters' names, one each: a map on the wire. */
const filterOverrides = fc
  .uniqueArray(filterOverride, { selector: (item) => item.filter, maxLength: 2 })
  .map((list) => list.toSorted((left, right) => (left.filter < right.filter ? -1 : 1)));

const scopeParts = { requestHeaders: mutations, responseHeaders: mutations, filterOverrides };

/** A record with what tables, hosts, routes and weighted clusters all have. */
export function scoped<T extends object>(parts: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T & RouteScope> {
  return fc.tuple(fc.record(parts), fc.record(scopeParts)).map(([own, scope]) => ({ ...(own as T), ...scope }));
}

export const retry: fc.Arbitrary<RetryPolicy> = fc.record({
  retryOn: fc.subarray(["5xx", "connect-failure", "reset-before-request", "retriable-status-codes", "unavailable"]),
  numRetries: fc.nat(10),
  perTryTimeoutMs: ms,
  perTryIdleTimeoutMs: ms,
  retriableStatusCodes: few(fc.integer({ min: 400, max: 599 })),
  retriableHeaders: few(headerMatcher),
  backoff: fc.record({ baseMs: fc.integer({ min: 1, max: 100 }), maxMs: fc.integer({ min: 100, max: 1000 }) }),
  avoidPreviousHosts: fc.boolean(),
  hostSelectionAttempts: fc.integer({ min: 1, max: 9 }),
  retriableRequestHeaders: few(headerMatcher),
  omitHosts: few(labels),
  rateLimitedBackoff: maybe(
    fc.record({
      resetHeaders: fc.array(fc.record({ name: word, format: fc.constantFrom("seconds" as const, "unixTimestamp") }), {
        minLength: 1,
        maxLength: 2,
      }),
      maxMs: fc.integer({ min: 1, max: 400_000 }),
    }),
  ),
});

export const hashPolicy: fc.Arbitrary<HashPolicy> = fc.oneof(
  fc.record({ kind: fc.constant("header"), name: word, terminal: fc.boolean() }),
  fc.record({ kind: fc.constant("cookie"), name: word, path: maybeWord, ttlMs: maybe(ms), terminal: fc.boolean() }),
  fc.record({ kind: fc.constant("query"), name: word, terminal: fc.boolean() }),
  fc.record({ kind: fc.constant("sourceIp"), terminal: fc.boolean() }),
);

export const filterConfig: fc.Arbitrary<FilterConfig> = fc.oneof(
  fc.record({
    name: word,
    typeUrl: fc.constant(KNOWN_FILTER),
    config: struct,
    disabled: fc.constant(false),
    isOptional: fc.constant(true),
  }),
  fc.record({
    name: word,
    typeUrl: fc.constant(KNOWN_ENVOY_FILTER),
    config: fc.constant({ statPrefix: "a", tokenBucket: { maxTokens: 20, tokensPerFill: 100, fillInterval: "1s" } }),
    disabled: fc.constant(false),
    isOptional: fc.boolean(),
  }),
);

export const accessLog: fc.Arbitrary<AccessLog> = fc.record({
  path: word,
  format: fc.oneof(
    fc.record({ kind: fc.constant("json"), fields: struct }),
    fc.record({ kind: fc.constant("text"), format: word }),
  ),
});

const share = fc.constantFrom(0, 0.5, 50, 100);

export const tracing: fc.Arbitrary<TracingConfig> = fc.record({
  randomSampling: share,
  exporter: maybe(
    fc.record({
      kind: fc.constant("otlp"),
      cluster: word,
      endpoint: word,
      protocol: fc.constantFrom("grpc", "http"),
      serviceName: word,
    }),
  ),
});

const sds = fc.record({ kind: fc.constant("sds"), name: word });

const certificate: fc.Arbitrary<SecretSource<CertificateSecret>> = fc.oneof(
  sds,
  fc.record({ kind: fc.constant("inline"), secret: fc.record({ chainPem: word, keyPem: word }) }),
);

const validation: fc.Arbitrary<ValidationSource> = fc.record({
  roots: fc.oneof(sds, fc.record({ kind: fc.constant("inline"), secret: fc.record({ bundlePem: word }) })),
  subjectAltNames: few(fc.record({ type: fc.constantFrom("uri", "dns", "ip", "email"), matcher: stringMatcher })),
  acceptUntrusted: fc.boolean(),
});

const common = {
  certificate,
  validation,
  alpn: few(word),
  minVersion: fc.constantFrom("TLSv1.2", "TLSv1.3", undefined),
  maxVersion: fc.constantFrom("TLSv1.2", "TLSv1.3", undefined),
  cipherSuites: few(word),
  curves: few(word),
} satisfies { [K in keyof CommonTls]: fc.Arbitrary<CommonTls[K]> };

export const downstreamTls = fc.record({
  ...common,
  requireClientCertificate: fc.boolean(),
  sessionTickets: fc.boolean(),
});
export const upstreamTls = fc.record({
  ...common,
  certificate: maybe(certificate),
  validation: maybe(validation),
  sni: maybeWord,
  autoHostSni: fc.boolean(),
});

const window = fc.integer({ min: 65_535, max: 2 ** 31 - 1 });

export const http2 = fc.record({
  maxConcurrentStreams: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  initialStreamWindowBytes: window,
  initialConnectionWindowBytes: window,
  hpackTableSizeBytes: count,
  maxOutboundFrames: fc.integer({ min: 1, max: 100_000 }),
  maxOutboundControlFrames: fc.integer({ min: 1, max: 100_000 }),
  maxConsecutiveInboundEmptyDataFrames: count,
  maxInboundPriorityFramesPerStream: count,
  maxInboundWindowUpdateFramesPerDataFrame: fc.integer({ min: 1, max: 100_000 }),
  keepaliveIntervalMs: fc.constant(0),
  keepaliveTimeoutMs: fc.constant(0),
  allowConnect: fc.boolean(),
});
