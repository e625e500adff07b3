// The block admissionControl as Envoy's filter at the client.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { AdmissionControl } from "#config/schema/traffic/admission-control.ts";
import { seconds } from "./adaptive-concurrency.ts";
import { blockFilter } from "./block-filter.ts";

export const admissionControlPolicies = blockFilter({
  select: ({ admissionControl }) => admissionControl,
  filter: "admissionControl",
  off: { enabled: { defaultValue: false, runtimeKey: "admission_control.enabled" }, successCriteria: {} },
  acts: (_block, direction) => direction === "outbound",
  forRules: true,
  configOf,
});

function configOf(block: AdmissionControl): JsonValue {
  const key = (name: string): string => `admission_control.${name}`;
  return {
    successCriteria: {
      httpCriteria: { httpSuccessStatus: block.httpSuccessStatus.map(({ start, end }) => ({ start, end })) },
      grpcCriteria: { grpcSuccessStatus: [...block.grpcSuccessStatus] },
    },
    samplingWindow: seconds(block.samplingWindow),
    aggression: { defaultValue: block.aggression, runtimeKey: key("aggression") },
    srThreshold: { defaultValue: { value: block.successRateThresholdPercent }, runtimeKey: key("sr_threshold") },
    rpsThreshold: {
      ...(block.rpsThreshold === 0 ? {} : { defaultValue: block.rpsThreshold }),
      runtimeKey: key("rps_threshold"),
    },
    maxRejectionProbability: {
      defaultValue: { value: block.maxRejectionPercent },
      runtimeKey: key("max_rejection_probability"),
    },
  };
}
