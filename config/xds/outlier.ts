// OutlierDetection: which endpoints are put out for a while, message <-> model.
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { OutlierDetection, OutlierStages } from "../model/cluster.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, unless } from "./fields.ts";
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
  enforcingLocalOriginSuccessRate: 100,
  enforcingFailurePercentageLocalOrigin: 0,
  alwaysEjectOneHost: false,
  successfulHealthCheckUnejects: true,
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
  enforcingLocalOriginSuccessRate: "enforcingLocalOriginSuccessRate",
  enforcingFailurePercentageLocalOrigin: "enforcingFailurePercentageLocalOrigin",
} as const satisfies { readonly [model in keyof OutlierDetection]?: keyof WireOutlier };

type NumberName = keyof typeof NUMBERS;
const NAMES = Object.keys(NUMBERS) as readonly NumberName[];

/** `stages`: what the cluster's metadata says, if anything. */
export function outlierFromWire(
  wire: WireOutlier,
  scope: Scope,
  stages: JsonObject | undefined,
  stagesScope: Scope,
): OutlierDetection {
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
    alwaysEjectOneHost: wire.alwaysEjectOneHost ?? OUTLIER_DEFAULTS.alwaysEjectOneHost,
    successfulHealthCheckUnejects:
      wire.successfulActiveHealthCheckUnejectHost ?? OUTLIER_DEFAULTS.successfulHealthCheckUnejects,
    ...(stages === undefined ? {} : { stages: stagesFromWire(stages, stagesScope) }),
  };
}

/** Metadata `heddle.outlier` of the cluster: Envoy has no stages, and ejects at once. */
function stagesFromWire(wire: JsonObject, scope: Scope): OutlierStages {
  const duration = (name: keyof OutlierStages): number => {
    const value = wire[name];
    if (typeof value === "number" && value > 0) return value;
    scope.field(name).invalid(`must be a number greater than 0: got ${JSON.stringify(value)}`);
    return 1;
  };
  const stages = { suspectForMs: duration("suspectForMs"), confirmUntilMs: duration("confirmUntilMs") };
  if (stages.confirmUntilMs < stages.suspectForMs)
    scope.field("confirmUntilMs").invalid("must not be less than suspectForMs");
  return stages;
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
    ...unless("alwaysEjectOneHost", model.alwaysEjectOneHost, OUTLIER_DEFAULTS.alwaysEjectOneHost),
    ...unless(
      "successfulActiveHealthCheckUnejectHost",
      model.successfulHealthCheckUnejects,
      OUTLIER_DEFAULTS.successfulHealthCheckUnejects,
    ),
  });
}
