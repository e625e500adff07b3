// Envoy's AdaptiveConcurrency as the filter reads it. What has no meaning here is refused with its path.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader, FilterConfigError } from "../parse.ts";
import { readStatus } from "../http-status.ts";
import { readEnabled, readShare } from "../runtime-fields.ts";

export const ADAPTIVE_CONCURRENCY =
  "type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency";

/** The names are Envoy's; shares are 0 to 1. */
export interface GradientSettings {
  /** Of the samples of a window: which one stands for all. */
  readonly percentile: number;
  readonly maxLimit: number;
  readonly updateIntervalMs: number;
  /** Time between two measurements of the ideal latency; 0 where it is fixed. */
  readonly minRttIntervalMs: number;
  /** The ideal latency, where it is not measured. */
  readonly fixedMinRttUs: number | undefined;
  readonly minRttRequests: number;
  readonly jitter: number;
  readonly minLimit: number;
  readonly buffer: number;
}

export interface AdaptiveConcurrencyConfig {
  readonly isEnabled: boolean;
  readonly status: number;
  readonly gradient: GradientSettings;
  /** Under which limits live on through changes: another definition begins anew. */
  readonly definition: string;
}

export function parseAdaptiveConcurrency(value: JsonValue): AdaptiveConcurrencyConfig {
  const reader = new ConfigReader(value, "");
  const gradient = parseGradient(reader.object("gradientControllerConfig"));
  const config = {
    isEnabled: readEnabled(reader),
    status: readStatus(reader, "concurrencyLimitExceededStatus", 503),
    gradient,
    definition: JSON.stringify(gradient),
  };
  reader.done();
  return config;
}

function parseGradient(reader: ConfigReader | undefined): GradientSettings {
  if (reader === undefined) throw new FilterConfigError("gradientControllerConfig", "set", undefined);
  const limits = reader.object("concurrencyLimitParams");
  const minRtt = reader.object("minRttCalcParams");
  if (limits === undefined) throw new FilterConfigError(reader.pathOf("concurrencyLimitParams"), "set", undefined);
  if (minRtt === undefined) throw new FilterConfigError(reader.pathOf("minRttCalcParams"), "set", undefined);
  const isFixed = minRtt.value("fixedValue") !== undefined;
  const settings = {
    percentile: readShare(reader, "sampleAggregatePercentile", 50),
    maxLimit: limits.number("maxConcurrencyLimit", 1000, 1, 2 ** 31 - 1),
    updateIntervalMs: limits.durationMs("concurrencyUpdateInterval", undefined),
    minRttIntervalMs: minRtt.durationMs("interval", isFixed ? 0 : undefined),
    fixedMinRttUs: isFixed ? minRtt.durationMs("fixedValue", undefined) * 1000 : undefined,
    minRttRequests: minRtt.number("requestCount", 50, 1, 2 ** 31 - 1),
    jitter: readShare(minRtt, "jitter", 15),
    minLimit: minRtt.number("minConcurrency", 3, 1, 2 ** 31 - 1),
    buffer: readShare(minRtt, "buffer", 25),
  };
  if (!(settings.updateIntervalMs > 0))
    throw new FilterConfigError(limits.pathOf("concurrencyUpdateInterval"), "above 0", settings.updateIntervalMs);
  if (!isFixed && settings.minRttIntervalMs < 1)
    throw new FilterConfigError(minRtt.pathOf("interval"), "at least 1 ms", settings.minRttIntervalMs);
  if (settings.fixedMinRttUs === 0) throw new FilterConfigError(minRtt.pathOf("fixedValue"), "above 0", "0s");
  limits.done();
  minRtt.done();
  reader.done();
  return settings;
}
