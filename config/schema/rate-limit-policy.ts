// RateLimitPolicy: token buckets in front of a service.

import type { Static } from "typebox";
import { choice, duration, flag, formatted, list, listByKey, optional, record, text, whole } from "./fields.ts";
import { heddleKind, type ResourceOf } from "./kind.ts";
import { targetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";

const key = record(
  "One part of the key.",
  {
    type: choice(
      ["header", "tenant", "identity", "remoteAddress", "method", "path"],
      "Where the part is taken from: `identity` is the peer's SPIFFE id, `path` is without query.",
    ),
    name: optional(text("Name of the header.", { minLength: 1, maxLength: 256 })),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.type == 'header') == has(self.name)",
        message: "name must be set for type header, and for nothing else",
      },
    ],
  },
);

const bucket = record(
  "A token bucket: holds `burst` tokens, gains `requests` in each `per`; a request takes one or is answered 429.",
  {
    name: formatted("dnsLabel", "Name of the bucket, in logs, metrics and `RateLimit-Policy`.", { default: "default" }),
    requests: whole("Tokens gained in each `per`.", 1, 2 ** 31 - 1),
    per: duration("The time in which they are gained.", { default: "1s" }),
    burst: optional(
      whole("Tokens that the bucket holds.", 1, 2 ** 31 - 1, { "x-heddle-absent": "the value of `requests`" }),
    ),
    keys: list(key, "One bucket for each distinct value of these together; one for all requests where empty.", 4, {
      default: [],
    }),
    maxKeys: whole("Buckets that are kept; the one unused for longest makes room.", 1, 1_000_000, { default: 10_000 }),
  },
  {
    "x-kubernetes-validations": [
      { rule: "duration(self.per) > duration('0s')", message: "per must be more than 0s", fieldPath: ".per" },
    ],
  },
);

const spec = record("What the user wants.", {
  targetRefs,
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
    { minItems: 1 },
  ),
  responseHeaders: flag(
    "Tell clients what is left (`RateLimit`, `RateLimit-Policy`, `X-RateLimit-*`). `Retry-After` is always sent with 429.",
    { default: true },
  ),
});

export type RateLimitPolicySpec = Immutable<Static<typeof spec>>;
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
    { name: "Target", type: "string", jsonPath: ".spec.targetRefs[*].name" },
    { name: "Requests", type: "string", jsonPath: ".spec.local[*].requests" },
    { name: "Accepted", type: "string", jsonPath: ".status.conditions[?(@.type=='Accepted')].status" },
    { name: "Programmed", type: "string", jsonPath: ".status.conditions[?(@.type=='Programmed')].status" },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
});
