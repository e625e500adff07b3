// OutlierDetection: which endpoints are put out for a while, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { OutlierDetection } from "../model/cluster.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless } from "./fields.ts";
import {
  OutlierDetectionSchema,
  type OutlierDetection as WireOutlier,
} from "./gen/envoy/config/cluster/v3/outlier_detection_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy's (expectations.md): what an empty `outlier_detection: {}` means. */
export const OUTLIER_DEFAULTS: OutlierDetection = {
  consecutive5xx: 5,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 5,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 5,
  enforcingConsecutiveLocalOriginFailure: 100,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 10,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
  enforcingSuccessRate: 100,
  failurePercentageThreshold: 85,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  enforcingFailurePercentage: 0,
};

/** The model's name and the wire's, for the fields that are plain numbers. */
const NUMBERS = {
  consecutive5xx: "consecutive5xx",
  enforcingConsecutive5xx: "enforcingConsecutive5xx",
  consecutiveGatewayFailure: "consecutiveGatewayFailure",
  enforcingConsecutiveGatewayFailure: "enforcingConsecutiveGatewayFailure",
  consecutiveLocalOriginFailure: "consecutiveLocalOriginFailure",
  enforcingConsecutiveLocalOriginFailure: "enforcingConsecutiveLocalOriginFailure",
  maxEjectionPercent: "maxEjectionPercent",
  successRateMinimumHosts: "successRateMinimumHosts",
  successRateRequestVolume: "successRateRequestVolume",
  successRateStdevFactor: "successRateStdevFactor",
  enforcingSuccessRate: "enforcingSuccessRate",
  failurePercentageThreshold: "failurePercentageThreshold",
  failurePercentageMinimumHosts: "failurePercentageMinimumHosts",
  failurePercentageRequestVolume: "failurePercentageRequestVolume",
  enforcingFailurePercentage: "enforcingFailurePercentage",
} as const satisfies { readonly [model in keyof OutlierDetection]?: keyof WireOutlier };

type NumberName = keyof typeof NUMBERS;
const NAMES = Object.keys(NUMBERS) as readonly NumberName[];

export function outlierFromWire(wire: WireOutlier, scope: Scope): OutlierDetection {
  const numbers = Object.fromEntries(NAMES.map((name) => [name, wire[NUMBERS[name]] ?? OUTLIER_DEFAULTS[name]]));
  const baseEjectionTimeMs = toMsOr(wire.baseEjectionTime, OUTLIER_DEFAULTS.baseEjectionTimeMs);
  // Envoy: 300 s or the base time, whichever is longer.
  const maxEjectionTimeMs = toMsOr(
    wire.maxEjectionTime,
    Math.max(OUTLIER_DEFAULTS.maxEjectionTimeMs, baseEjectionTimeMs),
  );
  if (maxEjectionTimeMs < baseEjectionTimeMs) {
    scope.field("max_ejection_time").invalid("must not be less than base_ejection_time");
  }
  return {
    // Every number is in NAMES, which the type of NUMBERS holds against the model.
    ...(numbers as unknown as Pick<OutlierDetection, NumberName>),
    splitExternalLocalOriginErrors: wire.splitExternalLocalOriginErrors,
    intervalMs: toMsOr(wire.interval, OUTLIER_DEFAULTS.intervalMs),
    baseEjectionTimeMs,
    maxEjectionTimeMs,
    maxEjectionTimeJitterMs: toMsOr(wire.maxEjectionTimeJitter, 0),
  };
}

export function outlierToWire(model: OutlierDetection): WireOutlier {
  const numbers = Object.fromEntries(
    NAMES.filter((name) => model[name] !== OUTLIER_DEFAULTS[name]).map((name) => [NUMBERS[name], model[name]]),
  );
  const maxEjectionTimeMs = Math.max(OUTLIER_DEFAULTS.maxEjectionTimeMs, model.baseEjectionTimeMs);
  return create(OutlierDetectionSchema, {
    ...numbers,
    splitExternalLocalOriginErrors: model.splitExternalLocalOriginErrors,
    ...durationUnless("interval", model.intervalMs, OUTLIER_DEFAULTS.intervalMs),
    ...durationUnless("baseEjectionTime", model.baseEjectionTimeMs, OUTLIER_DEFAULTS.baseEjectionTimeMs),
    ...durationUnless("maxEjectionTime", model.maxEjectionTimeMs, maxEjectionTimeMs),
    ...durationUnless("maxEjectionTimeJitter", model.maxEjectionTimeJitterMs, 0),
  });
}
