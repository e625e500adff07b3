// The block `circuitBreaker` of TrafficPolicy: Hystrix's breaker.

import type { Static } from "typebox";
import { choice, duration, list, optional, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const uint32 = 2 ** 32 - 1;

export const circuitBreaker = record("Answers 503 at once while too many requests fail. Defaults are Hystrix's.", {
  volumeThreshold: whole("Requests in the window before the share counts.", 1, uint32, { default: 20 }),
  errorPercent: whole("Share of failed requests that opens it.", 1, 100, { default: 50 }),
  window: duration("The time over which requests are counted.", { default: "10s" }),
  sleepWindow: duration("The time for which it stays open before one request is let through as a probe.", {
    default: "5s",
  }),
  per: optional(
    choice(["tenant"], "One breaker for each tenant; requests without one share theirs.", {
      "x-heddle-absent": "one breaker for all",
    }),
  ),
  errorStatuses: list(
    whole("A status.", 400, 599),
    "Statuses that are failures, besides resets, timeouts and refused connections.",
    64,
    {
      "x-kubernetes-list-type": "set",
      default: [500, 502, 503, 504],
    },
  ),
});

export type CircuitBreaker = Immutable<Static<typeof circuitBreaker>>;
