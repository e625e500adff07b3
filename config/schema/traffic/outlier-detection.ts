// The block `outlierDetection` of TrafficPolicy: single endpoints that fail where others do not.

import type { Static } from "typebox";
import { duration, flag, notLonger, percent, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const uint32 = 2 ** 32 - 1;

export const outlierDetection = record(
  "Takes single endpoints out for a while that fail where others do not. Names and defaults are Envoy's.",
  {
    consecutive5xx: whole("5xx answers in a row.", 1, uint32, { default: 5 }),
    consecutiveGatewayFailure: whole("502, 503 and 504 in a row.", 1, uint32, { default: 5 }),
    consecutiveLocalOriginFailure: whole(
      "Failed connections, resets and timeouts in a row, where these are counted apart.",
      1,
      uint32,
      { default: 5 },
    ),
    splitExternalLocalOriginErrors: flag("Count what the proxy itself saw apart from what the endpoint answered.", {
      default: false,
    }),
    interval: duration("Time between two looks at the statistics.", { default: "10s" }),
    baseEjectionTime: duration("Time out for the first ejection; the n-th lasts n times as long.", { default: "30s" }),
    maxEjectionTime: duration("The longest time out.", { default: "300s" }),
    maxEjectionPercent: percent("Share of the endpoints that may be out at the same time.", { default: 10 }),
    alwaysEjectOneHost: flag(
      "One endpoint may be out whatever maxEjectionPercent says: wanted for services of fewer than ten endpoints.",
      { default: false },
    ),
    enforcingConsecutive5xx: percent("Chance that consecutive5xx ejects.", { default: 100 }),
    enforcingConsecutiveGatewayFailure: percent("Chance that consecutiveGatewayFailure ejects.", { default: 0 }),
    enforcingConsecutiveLocalOriginFailure: percent("Chance that consecutiveLocalOriginFailure ejects.", {
      default: 100,
    }),
    enforcingSuccessRate: percent("Chance that a success rate far below the others' ejects.", { default: 100 }),
    successRateMinimumHosts: whole("Endpoints with enough requests before success rates are compared.", 1, uint32, {
      default: 5,
    }),
    successRateRequestVolume: whole("Requests in an interval that are enough.", 1, uint32, { default: 100 }),
    successRateStdevFactor: whole("Thousandths of a standard deviation below the mean that are too far.", 0, uint32, {
      default: 1900,
    }),
    enforcingFailurePercentage: percent("Chance that failurePercentageThreshold ejects.", { default: 0 }),
    failurePercentageThreshold: percent("Share of failed requests of one endpoint.", { default: 85 }),
    failurePercentageMinimumHosts: whole("Endpoints with enough requests before shares count.", 1, uint32, {
      default: 5,
    }),
    failurePercentageRequestVolume: whole("Requests in an interval that are enough.", 1, uint32, { default: 50 }),
  },
  { "x-kubernetes-validations": [notLonger("baseEjectionTime", "maxEjectionTime")] },
);

export type OutlierDetection = Immutable<Static<typeof outlierDetection>>;
