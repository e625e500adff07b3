// The block adaptiveConcurrency as Envoy's filter in front of the server.
import type { JsonValue } from "#config/model/filter-config.ts";
import { StatusCodeSchema } from "#config/xds/gen/envoy/type/v3/http_status_pb.ts";
import { durationMs } from "#config/schema/duration.ts";
import { jsonSeconds } from "#config/xds/duration.ts";
import type { AdaptiveConcurrency } from "#config/schema/traffic/adaptive-concurrency.ts";
import { blockFilter } from "./block-filter.ts";

export const adaptiveConcurrencyPolicies = blockFilter({
  select: ({ adaptiveConcurrency }) => adaptiveConcurrency,
  filter: "adaptiveConcurrency",
  // Envoy wants the rest of it though it is off.
  off: {
    enabled: { defaultValue: false, runtimeKey: "adaptive_concurrency.enabled" },
    gradientControllerConfig: {
      concurrencyLimitParams: { concurrencyUpdateInterval: "0.100s" },
      minRttCalcParams: { interval: "60s" },
    },
  },
  acts: (_block, direction) => direction === "inbound",
  inboundOnly: true,
  forRules: false,
  configOf,
});

function configOf(block: AdaptiveConcurrency): JsonValue {
  const { interval, requestCount, jitterPercent, minConcurrency, bufferPercent, fixedValue } = block.minRtt;
  return {
    gradientControllerConfig: {
      sampleAggregatePercentile: { value: block.sampleAggregatePercentile },
      concurrencyLimitParams: {
        maxConcurrencyLimit: block.maxConcurrencyLimit,
        concurrencyUpdateInterval: seconds(block.concurrencyUpdateInterval),
      },
      minRttCalcParams: {
        ...(fixedValue === undefined ? { interval: seconds(interval) } : { fixedValue: seconds(fixedValue) }),
        requestCount,
        jitter: { value: jitterPercent },
        minConcurrency,
        buffer: { value: bufferPercent },
      },
    },
    concurrencyLimitExceededStatus: { code: statusName(block.exceededStatus) },
  };
}

/** Protobuf JSON of HttpStatus: by its name where it has one. */
function statusName(status: number): JsonValue {
  return StatusCodeSchema.values.find(({ number }) => number === status)?.name ?? status;
}

/** Protobuf JSON of a duration of a policy. */
export function seconds(duration: string): string {
  return jsonSeconds(durationMs(duration));
}
