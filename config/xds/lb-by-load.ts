// Weights from load reports (ClientSideWeightedRoundRobin), message <-> model.
import type { LbPolicy } from "../model/cluster.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, unless } from "./fields.ts";
import type { ClientSideWeightedRoundRobin } from "./gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy's. */
const LOAD_DEFAULTS = { blackoutMs: 10_000, expirationMs: 180_000, updateMs: 1000, errorPenalty: 1 };
const LEAST_UPDATE_MS = 100;

type WeightedByLoad = Extract<LbPolicy, { kind: "weightedByLoad" }>;

export function loadFromWire(wire: ClientSideWeightedRoundRobin, scope: Scope): WeightedByLoad {
  // Reports come with answers: a stream of them beside the requests would be a connection more to each instance.
  if (wire.enableOobLoadReport === true)
    scope.field("value").field("enable_oob_load_report").unsupported("load reports come with answers only");
  const { blackoutPeriod, weightExpirationPeriod, weightUpdatePeriod, errorUtilizationPenalty } = wire;
  return {
    kind: "weightedByLoad",
    blackoutMs: toMsOr(blackoutPeriod, LOAD_DEFAULTS.blackoutMs),
    expirationMs: toMsOr(weightExpirationPeriod, LOAD_DEFAULTS.expirationMs),
    updateMs: Math.max(LEAST_UPDATE_MS, toMsOr(weightUpdatePeriod, LOAD_DEFAULTS.updateMs)),
    errorPenalty: errorUtilizationPenalty ?? LOAD_DEFAULTS.errorPenalty,
    metricNames: wire.metricNamesForComputingUtilization,
  };
}

export function loadToWire(lb: WeightedByLoad) {
  return {
    ...durationUnless("blackoutPeriod", lb.blackoutMs, LOAD_DEFAULTS.blackoutMs),
    ...durationUnless("weightExpirationPeriod", lb.expirationMs, LOAD_DEFAULTS.expirationMs),
    ...durationUnless("weightUpdatePeriod", lb.updateMs, LOAD_DEFAULTS.updateMs),
    ...unless("errorUtilizationPenalty", lb.errorPenalty, LOAD_DEFAULTS.errorPenalty),
    metricNamesForComputingUtilization: [...lb.metricNames],
  };
}
