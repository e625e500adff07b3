// RateLimitPolicy: token buckets and leaky buckets in front of a service.

import type { Static } from "typebox";
import { choice, duration, flag, formatted, list, listByKey, optional, record, text, whole } from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { requestTargetRefs } from "./policy-targets.ts";
import type { CelRule, Immutable } from "./structural.ts";

const key = record(
  "One part of the key.",
  {
    type: choice(
      ["header", "queryParameter", "cookie", "tenant", "identity", "remoteAddress", "method", "path", "host", "route"],
      "Where the part is taken from: `identity` is the peer's SPIFFE id, `path` is without query, `route` is the rule's name. What a request does not have counts as empty.",
    ),
    name: optional(text("Name of the header, query parameter or cookie.", { minLength: 1, maxLength: 256 })),
    part: optional(
      choice(["whole", "namespace", "serviceAccount"], "Of an identity.", { "x-heddle-absent": "the whole identity" }),
    ),
    segments: optional(
      whole("Of a path, only the first so many segments.", 1, 64, { "x-heddle-absent": "all of them" }),
    ),
    ipv4Bits: optional(
      whole("Of an IPv4 address, only the first so many bits: its network.", 0, 32, { "x-heddle-absent": "32" }),
    ),
    ipv6Bits: optional(
      whole("Of an IPv6 address, only the first so many bits: its network.", 0, 128, { "x-heddle-absent": "128" }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.type in ['header', 'queryParameter', 'cookie']) == has(self.name)",
        message: "name must be set for type header, queryParameter or cookie, and for nothing else",
      },
      { rule: "self.type == 'identity' || !has(self.part)", message: "part is for type identity" },
      { rule: "self.type == 'path' || !has(self.segments)", message: "segments is for type path" },
      {
        rule: "self.type == 'remoteAddress' || !(has(self.ipv4Bits) || has(self.ipv6Bits))",
        message: "ipv4Bits and ipv6Bits are for type remoteAddress",
      },
    ],
  },
);

const quota = record(
  "What one value of the key has in the place of the bucket's own rate.",
  {
    values: list(text("As a request has it; compared as it is.", { maxLength: 256 }), "One for each of `keys`.", 4, {
      minItems: 1,
    }),
    requests: whole("Tokens gained in each `per`.", 1, 2 ** 31 - 1),
    per: optional(duration("The time in which they are gained.", { "x-heddle-absent": "that of the bucket" })),
    burst: optional(
      whole("Tokens that the bucket holds.", 1, 2 ** 31 - 1, { "x-heddle-absent": "the value of `requests`" }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "!has(self.per) || duration(self.per) > duration('0s')",
        message: "per must be more than 0s",
        fieldPath: ".per",
      },
    ],
  },
);

const headerMatch = record("A condition on a header.", {
  name: formatted("headerName", "Name of the header."),
  type: choice(["Exact", "Prefix", "Present"], "How the value is compared.", { default: "Exact" }),
  value: text("What it is compared with.", { default: "", maxLength: 4096 }),
});

const standardMethods = "GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH";

const match = record("Which requests a bucket is for; all conditions must hold.", {
  methods: list(
    formatted("method", "A method of HTTP, in capitals as requests have it.", {
      "x-kubernetes-validations": [
        {
          rule: `!self.matches('^(?i)(${standardMethods})$') || self.matches('^(${standardMethods})$')`,
          message: "methods are case-sensitive (RFC 9110 section 9.1), and the standard ones are written in capitals",
          find: (value) => ({ path: [], hint: `write ${String(value).toUpperCase()}` }),
        },
      ],
    }),
    "Any of these; all where empty.",
    16,
    { default: [] },
  ),
  pathPrefix: optional(
    text("The path begins with these segments.", { minLength: 1, maxLength: 1024, pattern: "^/.*$" }),
  ),
  headers: list(headerMatch, "All of these.", 16, { default: [] }),
});

const bucket = record(
  "A bucket: gains `requests` tokens in each `per`. A token bucket holds `burst` of them; a request takes one or is answered 429. From a leaky bucket requests go on one by one at that rate; `burst` of them may wait for their turn, the next is answered 429.",
  {
    name: formatted("dnsLabel", "Name of the bucket, in logs, metrics and `RateLimit-Policy`.", { default: "default" }),
    algorithm: choice(["tokenBucket", "leakyBucket"], "Whether what is too early is refused, or waits.", {
      default: "tokenBucket",
    }),
    requests: whole("Tokens gained in each `per`.", 1, 2 ** 31 - 1),
    per: duration("The time in which they are gained.", { default: "1s" }),
    burst: optional(
      whole("Tokens that the bucket holds, or requests that may wait.", 1, 2 ** 31 - 1, {
        "x-heddle-absent": "the value of `requests`",
      }),
    ),
    maxWait: optional(duration("Nobody waits for longer at a leaky bucket; at most 5s.", { "x-heddle-absent": "1s" })),
    match: optional(match),
    keys: list(key, "One bucket for each distinct value of these together; one for all requests where empty.", 4, {
      default: [],
    }),
    quotas: list(quota, "Values of the key with a rate of their own. Their buckets are never given up.", 64, {
      default: [],
    }),
    maxKeys: whole("Buckets that are kept; the one unused for longest makes room.", 1, 1_000_000, { default: 10_000 }),
  },
  {
    "x-kubernetes-validations": [
      { rule: "duration(self.per) > duration('0s')", message: "per must be more than 0s", fieldPath: ".per" },
      {
        rule: "self.algorithm == 'leakyBucket' || !has(self.maxWait)",
        message: "maxWait is for algorithm leakyBucket: at a token bucket nobody waits",
        fieldPath: ".maxWait",
      },
      {
        rule: "!has(self.maxWait) || duration(self.maxWait) <= duration('5s')",
        message: "maxWait must be at most 5s",
        fieldPath: ".maxWait",
      },
      {
        rule: "self.quotas.all(quota, size(quota.values) == size(self.keys))",
        message: "each quota must have one value for each of keys",
        fieldPath: ".quotas",
      },
      {
        rule: "self.quotas.all(quota, self.quotas.exists_one(other, other.values == quota.values))",
        message: "each quota must be for values of its own",
        fieldPath: ".quotas",
        find: findRepeatedQuota,
      },
    ],
  },
);

/** The first quota that says the values of one before it. */
function findRepeatedQuota(value: unknown): ReturnType<NonNullable<CelRule["find"]>> {
  const { quotas } = value as { readonly quotas: readonly { readonly values: readonly string[] }[] }; // as: its shape is checked
  const seen = new Map<string, number>();
  for (const [at, { values }] of quotas.entries()) {
    const key = JSON.stringify(values);
    const first = seen.get(key);
    if (first !== undefined)
      return { path: ["quotas", at, "values"], hint: `quotas[${first}] has the same: write one quota for both` };
    seen.set(key, at);
  }
  return undefined;
}

const entry = record(
  "One entry of a descriptor: a key, and a value that is taken from the request. Without the value the descriptor is not sent.",
  {
    type: choice(
      ["constant", "header", "queryParameter", "remoteAddress", "method", "host", "tenant", "identity"],
      "Where the value is taken from.",
    ),
    key: text("The key, as the service's configuration has it.", { minLength: 1, maxLength: 256 }),
    name: optional(text("Name of the header or query parameter.", { minLength: 1, maxLength: 256 })),
    value: optional(text("The value, for type constant.", { minLength: 1, maxLength: 1024 })),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.type in ['header', 'queryParameter']) == has(self.name)",
        message: "name must be set for type header or queryParameter, and for nothing else",
      },
      {
        rule: "(self.type == 'constant') == has(self.value)",
        message: "value must be set for type constant, and for nothing else",
      },
      {
        rule: "self.type != 'remoteAddress' || self.key == 'remote_address'",
        message: "the key of type remoteAddress is remote_address",
        fieldPath: ".key",
      },
    ],
  },
);

const global = record("Limits that hold for all proxies together: MeshConfig's `rateLimitService` is asked.", {
  descriptors: list(
    record("What the service is told of a request; it has the limits.", {
      entries: list(entry, "In the order of the service's configuration.", 8, { minItems: 1 }),
      hits: optional(whole("What a request counts for.", 0, 1_000_000_000, { "x-heddle-absent": "1" })),
    }),
    "A request is over the limit when one of these is.",
    16,
    { minItems: 1 },
  ),
});

const spec = record(
  "What the user wants.",
  {
    targetRefs: requestTargetRefs,
    direction: choice(
      ["inbound", "outbound"],
      "Whether the server's sidecar limits what comes, or each client's what goes.",
      { default: "inbound" },
    ),
    local: listByKey(
      bucket,
      ["name"],
      "Buckets that each proxy keeps for itself. A request needs a token of every one.",
      16,
      { default: [] },
    ),
    global: optional(global),
    grpcStatus: choice(
      ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
      "What gRPC calls are answered: RESOURCE_EXHAUSTED tells a client to ask for less, UNAVAILABLE to try again.",
      { default: "RESOURCE_EXHAUSTED" },
    ),
    responseHeaders: flag(
      "Tell clients what is left (`RateLimit`, `RateLimit-Policy`, `X-RateLimit-*`). `Retry-After` is always sent with 429.",
      { default: true },
    ),
  },
  {
    "x-kubernetes-validations": [
      { rule: "size(self.local) > 0 || has(self.global)", message: "at least one of local, global must be set" },
    ],
  },
);

export type RateLimitPolicySpec = Immutable<Static<typeof spec>>;
export type GlobalLimits = NonNullable<RateLimitPolicySpec["global"]>;
export type RateLimitBucket = RateLimitPolicySpec["local"][number];
export type RateLimitPolicy = ResourceOf<"RateLimitPolicy", RateLimitPolicySpec>;

export const rateLimitPolicyKind = heddleKind({
  kind: "RateLimitPolicy",
  plural: "ratelimitpolicies",
  shortNames: ["rlp"],
  description:
    "Limits the rate of requests to a service with token buckets, for all requests together or for each header value, tenant, identity or address.",
  spec,
  columns: [
    columns.target,
    { name: "Requests", type: "string", jsonPath: ".spec.local[*].requests" },
    columns.accepted,
    columns.programmed,
    columns.age,
  ],
});
