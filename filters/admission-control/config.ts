// Envoy's AdmissionControl as the filter reads it. What has no meaning here is refused with its path.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader, FilterConfigError } from "../parse.ts";
import { readEnabled, readRuntimeNumber, readRuntimeShare } from "../runtime-fields.ts";

export const ADMISSION_CONTROL =
  "type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl";

export interface AdmissionControlConfig {
  readonly isEnabled: boolean;
  /** From `start` up to, not including, `end`. */
  readonly httpSuccess: readonly { readonly start: number; readonly end: number }[];
  readonly grpcSuccess: ReadonlySet<number>;
  /** Whole seconds: that is how fine the window moves. */
  readonly windowSeconds: number;
  readonly aggression: number;
  /** Shares of 1. */
  readonly successThreshold: number;
  readonly maxRejection: number;
  readonly rpsThreshold: number;
  /** Under which counts live on through changes: another definition begins anew. */
  readonly definition: string;
}

/** Envoy's: those that speak of the request rather than of the server. */
const GRPC_SUCCESS: readonly number[] = [0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16];

export function parseAdmissionControl(value: JsonValue): AdmissionControlConfig {
  const reader = new ConfigReader(value, "");
  const criteria = reader.object("successCriteria");
  if (criteria === undefined) throw new FilterConfigError("successCriteria", "set", undefined);
  const config = {
    isEnabled: readEnabled(reader),
    httpSuccess: parseHttp(criteria.object("httpCriteria")),
    grpcSuccess: parseGrpc(criteria.object("grpcCriteria")),
    windowSeconds: Math.max(1, Math.round(reader.durationMs("samplingWindow", 30_000) / 1000)),
    // Below 1 Envoy takes 1.
    aggression: Math.max(1, readRuntimeNumber(reader, "aggression", 1)),
    successThreshold: readRuntimeShare(reader, "srThreshold", 95),
    rpsThreshold: readRuntimeNumber(reader, "rpsThreshold", 0),
    maxRejection: readRuntimeShare(reader, "maxRejectionProbability", 80),
  };
  if (config.windowSeconds > MAX_WINDOW_SECONDS)
    throw new FilterConfigError("samplingWindow", "at most an hour", reader.value("samplingWindow"));
  if (config.successThreshold < 0.01)
    throw new FilterConfigError("srThreshold.defaultValue.value", "at least 1", config.successThreshold * 100);
  criteria.done();
  reader.done();
  // What is done with the counts may change as it likes.
  const { httpSuccess, grpcSuccess, windowSeconds } = config;
  return { ...config, definition: JSON.stringify([windowSeconds, httpSuccess, [...grpcSuccess]]) };
}

const MAX_WINDOW_SECONDS = 3600;

function parseHttp(reader: ConfigReader | undefined): AdmissionControlConfig["httpSuccess"] {
  if (reader === undefined) return [{ start: 100, end: 500 }];
  const ranges = reader.objects("httpSuccessStatus").map((range) => {
    const status = { start: range.number("start", 0, 100, 600), end: range.number("end", 0, 100, 600) };
    if (status.start > status.end)
      throw new FilterConfigError(range.pathOf("end"), `at least ${status.start}, the start`, status.end);
    range.done();
    return status;
  });
  reader.done();
  return ranges;
}

function parseGrpc(reader: ConfigReader | undefined): ReadonlySet<number> {
  if (reader === undefined) return new Set(GRPC_SUCCESS);
  const codes = reader.numbers("grpcSuccessStatus");
  for (const [at, code] of codes.entries())
    if (code > 16) throw new FilterConfigError(reader.pathOf(`grpcSuccessStatus[${at}]`), "a gRPC code, 0 to 16", code);
  reader.done();
  return new Set(codes);
}
