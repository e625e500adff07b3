// The two ways to configure faults: Envoy's HTTPFault, and ours with several of them under one rule.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Fraction, HeaderMatcher } from "#config/model/matcher.ts";

import { readFraction, readHeaderMatcher } from "../matcher-config.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";

export const ENVOY_FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
export const HEDDLE_FAULTS = "type.googleapis.com/heddle.filters.fault.v1.Faults";

export interface FaultConfig {
  /** The policy's name; "" where the configuration tells none. */
  readonly rule: string;
  /** Requests with a fault at one time, over all workers; above it there are no more. */
  readonly maxActive: number;
  readonly faults: readonly Fault[];
}

/** "header": the value and the share are the request's (`x-envoy-fault-*`), up to the share that stands here. */
export interface Fault {
  /** All that this fault does is drawn together, before its parts are; undefined: each part alone. */
  readonly share: Fraction | undefined;
  /** All must match. */
  readonly headers: readonly HeaderMatcher[];
  /** One of these too, all headers of it; empty = any request. */
  readonly matches: readonly (readonly HeaderMatcher[])[];
  /** The cluster that the route chose; "" = any. */
  readonly upstreamCluster: string;
  /** `x-envoy-downstream-service-node`; empty = anybody. */
  readonly downstreamNodes: readonly string[];
  readonly delay: { readonly share: Fraction; readonly ms: number | "header" } | undefined;
  readonly abort: { readonly share: Fraction; readonly with: FaultAnswer | "header" } | undefined;
  /** KiB a second. */
  readonly rateLimit: { readonly share: Fraction; readonly kibps: number | "header" } | undefined;
}

export type FaultAnswer =
  | { readonly kind: "http"; readonly status: number }
  | { readonly kind: "grpc"; readonly status: number };

/** What Envoy reads from a runtime, which there is none of here. */
const RUNTIME_FIELDS = [
  "delayPercentRuntime",
  "abortPercentRuntime",
  "delayDurationRuntime",
  "abortHttpStatusRuntime",
  "maxActiveFaultsRuntime",
  "responseRateLimitPercentRuntime",
  "abortGrpcStatusRuntime",
] as const;

export function parseFaults(value: JsonValue, typeUrl: string): FaultConfig {
  const reader = new ConfigReader(value, "");
  if (typeUrl === ENVOY_FAULT) {
    for (const name of RUNTIME_FIELDS) refuse(reader, name, "left out (there are no runtime layers)");
    // Counters per downstream cluster would be as many as callers can name: there are none to turn off.
    reader.boolean("disableDownstreamClusterStats", false);
    const maxActive = readMaxActive(reader);
    // There is no dynamic metadata here; what Envoy would put there may tell who configured the fault.
    const metadata = reader.object("filterMetadata");
    const rule = metadata?.string("rule", "") ?? "";
    metadata?.done();
    return { rule, maxActive, faults: [readFault(reader, undefined)] };
  }
  const config: FaultConfig = {
    rule: reader.string("rule", ""),
    maxActive: readMaxActive(reader),
    faults: reader.objects("faults").map((fault) => {
      const share = fault.object("percentage");
      const matches = fault.objects("matches").map(readMatch);
      return { ...readFault(fault, share === undefined ? undefined : readFraction(share)), matches };
    }),
  };
  reader.done();
  return config;
}

function readMatch(reader: ConfigReader): readonly HeaderMatcher[] {
  const headers = reader.objects("headers").map(readHeaderMatcher);
  reader.done();
  return headers;
}

function refuse(reader: ConfigReader, name: string, wanted: string): void {
  const value = reader.value(name);
  if (value !== undefined) throw new FilterConfigError(reader.pathOf(name), wanted, value);
}

function readMaxActive(reader: ConfigReader): number {
  return reader.number("maxActiveFaults", Number.POSITIVE_INFINITY, 0);
}

function readFault(reader: ConfigReader, share: Fraction | undefined): Fault {
  const fault: Fault = {
    share,
    headers: reader.objects("headers").map(readHeaderMatcher),
    matches: [],
    upstreamCluster: reader.string("upstreamCluster", ""),
    downstreamNodes: reader.strings("downstreamNodes"),
    delay: readDelay(reader.object("delay")),
    abort: readAbort(reader.object("abort")),
    rateLimit: readRateLimit(reader.object("responseRateLimit")),
  };
  reader.done();
  return fault;
}

function readDelay(reader: ConfigReader | undefined): Fault["delay"] {
  if (reader === undefined) return undefined;
  const isByHeader = oneOf(reader, "fixedDelay", "headerDelay") === "headerDelay";
  const delay = {
    share: readFraction(reader.object("percentage")),
    ms: isByHeader ? ("header" as const) : reader.durationMs("fixedDelay", undefined),
  };
  if (delay.ms === 0) throw new FilterConfigError(reader.pathOf("fixedDelay"), "more than 0s", "0s");
  reader.done();
  return delay;
}

function readAbort(reader: ConfigReader | undefined): Fault["abort"] {
  if (reader === undefined) return undefined;
  const kind = oneOf(reader, "httpStatus", "grpcStatus", "headerAbort");
  const abort: Fault["abort"] = {
    share: readFraction(reader.object("percentage")),
    with:
      kind === "headerAbort"
        ? "header"
        : kind === "httpStatus"
          ? { kind: "http", status: reader.number("httpStatus", undefined, 200, 599) }
          : { kind: "grpc", status: reader.number("grpcStatus", undefined, 0, 2 ** 32 - 1) },
  };
  reader.done();
  return abort;
}

function readRateLimit(reader: ConfigReader | undefined): Fault["rateLimit"] {
  if (reader === undefined) return undefined;
  const isByHeader = oneOf(reader, "fixedLimit", "headerLimit") === "headerLimit";
  const share = readFraction(reader.object("percentage"));
  const fixed = reader.object("fixedLimit");
  const kibps = isByHeader ? ("header" as const) : (fixed?.number("limitKbps", 0, 1) ?? "header");
  fixed?.done();
  reader.done();
  return { share, kibps };
}

/** The one of these fields that is set. Empty messages (`headerDelay: {}`) are read here. */
function oneOf<const T extends string>(reader: ConfigReader, ...names: readonly T[]): T {
  const set = names.filter((name) => reader.value(name) !== undefined);
  const [found] = set;
  if (found === undefined || set.length > 1)
    throw new FilterConfigError(reader.pathOf(names[0] ?? ""), `the one that is set of ${names.join(", ")}`, set);
  return found;
}
