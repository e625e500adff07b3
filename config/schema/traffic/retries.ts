// The block `retries` of TrafficPolicy: conditions, number, pauses and budget.

import type { Static } from "typebox";
import { choice, duration, formatted, list, notLonger, percent, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const uint32 = 2 ** 32 - 1;

/** Conditions of HTTP that a request can be tried again on, in Envoy's words (`x-envoy-retry-on`). */
const httpRetryConditions = [
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "refused-stream",
  "retriable-4xx",
  "retriable-status-codes",
  "retriable-headers",
  "envoy-ratelimited",
] as const;
/** Conditions of gRPC (`x-envoy-retry-grpc-on`). */
const grpcRetryConditions = [
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
] as const;

export const retries = record("When, how often and how fast a request is tried again.", {
  attempts: whole("Tries after the first one. 0 switches retries off. (Istio's default; Envoy's is 1.)", 0, 20, {
    default: 2,
  }),
  retryOn: list(
    choice([...httpRetryConditions, ...grpcRetryConditions], "A condition."),
    "Conditions on which an idempotent request, or one with `Idempotency-Key`, is tried again; conditions of gRPC are for gRPC calls.",
    15,
    {
      "x-kubernetes-list-type": "set",
      default: ["connect-failure", "refused-stream", "reset-before-request", "retriable-status-codes"],
    },
  ),
  retryOnNonIdempotent: list(
    choice(httpRetryConditions, "A condition."),
    "Conditions on which other requests (POST, PATCH) are tried again too. Those that were certainly not processed always are.",
    10,
    { "x-kubernetes-list-type": "set", default: [] },
  ),
  retriableStatusCodes: list(whole("A status.", 400, 599), "Statuses that `retriable-status-codes` means.", 64, {
    "x-kubernetes-list-type": "set",
    default: [],
  }),
  retriableHeaders: list(
    formatted("headerName", "A header of the answer."),
    "An answer that has one of these headers is what `retriable-headers` means.",
    16,
    { "x-kubernetes-list-type": "set", default: [] },
  ),
  retryAfter: record(
    "An answer that says when to come again (`Retry-After`, in seconds or as a date) is tried again then, and not before. Where that is too late for the request, the answer itself goes to the client at once.",
    {
      maxInterval: duration("The longest wait. 0s: what answers say is not looked at.", { default: "10s" }),
    },
    { default: {} },
  ),
  backoff: record(
    "Pauses before tries: uniform between 0 and baseInterval x (2^n - 1), at most maxInterval (full jitter).",
    {
      baseInterval: duration("Unit of the pause.", { default: "25ms" }),
      maxInterval: duration("The longest pause.", { default: "250ms" }),
    },
    {
      default: {},
      "x-kubernetes-validations": [
        notLonger("baseInterval", "maxInterval"),
        {
          rule: "duration(self.baseInterval) > duration('0s')",
          message: "baseInterval must be more than 0s",
          fieldPath: ".baseInterval",
        },
      ],
    },
  ),
  budget: record(
    "Bounds the retries that run at the same time, so that they cannot become a storm.",
    {
      percent: percent("Share of the running requests.", { default: 20 }),
      minConcurrency: whole("Retries that may always run.", 0, uint32, { default: 3 }),
    },
    { default: {} },
  ),
});

export type Retries = Immutable<Static<typeof retries>>;
