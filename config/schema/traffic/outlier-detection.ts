// The block `outlierDetection` of TrafficPolicy: single endpoints that fail where others do not.

import type { Static } from "typebox";
import { duration, flag, notLonger, optional, percent, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const uint32 = 2 ** 32 - 1;

const stages = record(
  "An endpoint that was found bad is a suspect before it is taken out: it gets no requests as long as others can take them; then single " +
    "requests try it, of which a success brings it back and a failure takes it out. Without this it is taken out at once, as Envoy does.",
  {
    suspectFor: duration("Time without requests, while those that it has may end.", { default: "10s" }),
    confirmUntil: duration("Time from the suspicion until it is taken out, if nothing spoke for it.", {
      default: "30s",
    }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "duration(self.suspectFor) > duration('0s')",
        message: "suspectFor must be more than 0s",
        fieldPath: ".suspectFor",
      },
      notLonger("suspectFor", "confirmUntil"),
    ],
  },
);

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
      "One endpoint may be out whatever maxEjectionPercent says: wanted for services of fewer than ten endpoints. (Envoy's default is false.)",
      { default: true },
    ),
    maxEjectionTimeJitter: duration("Up to this is added to the time out, by chance.", { default: "0s" }),
    successfulActiveHealthCheckUnejectHost: flag(
      "A health check that succeeds brings an endpoint back before its time.",
      {
        default: true,
      },
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
    enforcingLocalOriginSuccessRate: percent(
      "The same for the success rate of what the proxy itself saw, where that is counted apart.",
      { default: 100 },
    ),
    enforcingFailurePercentage: percent("Chance that failurePercentageThreshold ejects.", { default: 0 }),
    enforcingFailurePercentageLocalOrigin: percent(
      "The same for what the proxy itself saw, where that is counted apart.",
      { default: 0 },
    ),
    failurePercentageThreshold: percent("Share of failed requests of one endpoint.", { default: 85 }),
    failurePercentageMinimumHosts: whole("Endpoints with enough requests before shares count.", 1, uint32, {
      default: 5,
    }),
    failurePercentageRequestVolume: whole("Requests in an interval that are enough.", 1, uint32, { default: 50 }),
    stages: optional(stages),
  },
  { "x-kubernetes-validations": [notLonger("baseEjectionTime", "maxEjectionTime")] },
);

export type OutlierDetection = Immutable<Static<typeof outlierDetection>>;
