// The block `admissionControl` of TrafficPolicy: clients hold back while a service fails.

import type { Static } from "typebox";
import { decimal, duration, list, percent, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const range = record(
  "A range of statuses.",
  {
    start: whole("The first.", 100, 599),
    end: whole("The one after the last.", 101, 600),
  },
  {
    "x-kubernetes-validations": [
      { rule: "self.start < self.end", message: "end must be greater than start", fieldPath: ".end" },
    ],
  },
);

export const admissionControl = record(
  "The client's sidecar refuses a growing share of requests while too many fail. Names and defaults are Envoy's.",
  {
    httpSuccessStatus: list(range, "Statuses that are successes.", 16, { default: [{ start: 100, end: 500 }] }),
    grpcSuccessStatus: list(
      whole("A gRPC code.", 0, 16),
      "gRPC codes that are successes: by default those that speak of the request rather than of the server.",
      17,
      { "x-kubernetes-list-type": "set", default: [0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16] },
    ),
    samplingWindow: duration("The time over which requests are counted, in whole seconds.", { default: "30s" }),
    aggression: decimal("1 refuses in proportion to the failures; more refuses more of them, sooner.", 1, 100, {
      default: 1,
    }),
    successRateThresholdPercent: whole("The share of successes below which requests are refused.", 1, 100, {
      default: 95,
    }),
    rpsThreshold: whole("Below so many requests a second nothing is refused.", 0, 2 ** 31 - 1, { default: 0 }),
    maxRejectionPercent: percent("The greatest share of requests that is refused.", { default: 80 }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "duration(self.samplingWindow) >= duration('1s') && duration(self.samplingWindow) <= duration('1h')",
        message: "samplingWindow must be between 1s and 1h",
        fieldPath: ".samplingWindow",
      },
    ],
  },
);

export type AdmissionControl = Immutable<Static<typeof admissionControl>>;
