// The block `adaptiveConcurrency` of TrafficPolicy: as many requests at once as the server can do without queueing.

import type { Static } from "typebox";
import { duration, optional, percent, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const int32 = 2 ** 31 - 1;

const minRtt = record(
  "How the ideal latency is measured: at the least concurrency.",
  {
    interval: duration("Time between two measurements.", { default: "60s" }),
    requestCount: whole("Requests that make a measurement.", 1, int32, { default: 50 }),
    jitterPercent: percent("The interval grows by a random share of it, up to this.", { default: 15 }),
    minConcurrency: whole("Concurrency while it measures, and the least limit.", 1, int32, { default: 3 }),
    bufferPercent: percent("So much above the ideal latency still counts as ideal.", { default: 25 }),
    fixedValue: optional(duration("The ideal latency, where it is not to be measured.")),
  },
  {
    default: {},
    "x-kubernetes-validations": [
      {
        rule: "duration(self.interval) >= duration('1ms')",
        message: "interval must be at least 1ms",
        fieldPath: ".interval",
      },
      {
        rule: "!has(self.fixedValue) || duration(self.fixedValue) > duration('0s')",
        message: "fixedValue must be more than 0s",
        fieldPath: ".fixedValue",
      },
    ],
  },
);

export const adaptiveConcurrency = record(
  "The server's sidecar finds out how many requests at once keep latency near its ideal, and refuses those beyond. Names and defaults are Envoy's.",
  {
    sampleAggregatePercentile: percent("The percentile of a window's latencies that stands for them.", { default: 50 }),
    maxConcurrencyLimit: whole("The greatest limit.", 1, int32, { default: 1000 }),
    concurrencyUpdateInterval: duration("Time between two updates of the limit.", { default: "100ms" }),
    minRtt,
    exceededStatus: whole("The status of refused requests.", 400, 599, { default: 503 }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "duration(self.concurrencyUpdateInterval) >= duration('1ms')",
        message: "concurrencyUpdateInterval must be at least 1ms",
        fieldPath: ".concurrencyUpdateInterval",
      },
      {
        rule: "self.minRtt.minConcurrency <= self.maxConcurrencyLimit",
        message: "minRtt.minConcurrency must not be greater than maxConcurrencyLimit",
        fieldPath: ".minRtt.minConcurrency",
      },
    ],
  },
);

export type AdaptiveConcurrency = Immutable<Static<typeof adaptiveConcurrency>>;
