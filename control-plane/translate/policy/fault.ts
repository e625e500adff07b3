// FaultPolicy as settings of the fault filter: Envoy's message where it says the same, ours for several faults at once.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { FaultPolicy, FaultRule } from "#config/schema/fault-policy.ts";
import { jsonSeconds } from "#config/xds/duration.ts";
import { grpcStatusNames } from "#lib/grpc/status.ts";
import { envoyFaultType, filterTypes } from "../filter-types.ts";
import { documentName } from "../names.ts";
import { policiesOfPort, policiesOfRule } from "./attached.ts";
import type { FilterSettings, PolicyFilter } from "./policy-filters.ts";

type Json = { readonly [key: string]: JsonValue };

export const faultPolicies: PolicyFilter = {
  name: filterTypes.fault.name,
  // Envoy's message: a real Envoy leaves out a filter that it does not know, and could not wake it for a rule.
  settings: { typeUrl: envoyFaultType, config: {} },
  forPort: (reader, target) => settingsOf(policiesOfPort(reader, "faults", target)),
  forRule: (reader, target) => {
    const own = policiesOfRule(reader, "faults", target);
    // The faults of the port hold as well.
    return own.length === 0 ? undefined : settingsOf([...policiesOfPort(reader, "faults", target), ...own]);
  },
};

function settingsOf(policies: readonly FaultPolicy[]): FilterSettings | undefined {
  if (policies.length === 0) return undefined;
  const rule = policies.map(documentName).join(", ");
  const faults = policies.flatMap(({ spec }) => spec.faults);
  const bounds = policies.flatMap(({ spec }) => spec.maxActiveFaults ?? []);
  const maxActive = bounds.length === 0 ? {} : { maxActiveFaults: Math.min(...bounds) };
  const [only] = faults;
  if (faults.length === 1 && only !== undefined && only.matches.length < 2 && drawsOnce(only)) {
    const share = shareOf(only.percent);
    const [match] = only.matches;
    const headers = [...(match === undefined ? [] : headersOf(match)), ...forGrpc(only)];
    const config = { ...(headers.length === 0 ? {} : { headers }), ...partsOf(only, share), ...maxActive };
    return { typeUrl: envoyFaultType, config: { ...config, filterMetadata: { rule } } };
  }
  return { typeUrl: filterTypes.fault.typeUrl, config: { rule, ...maxActive, faults: faults.map(ourFault) } };
}

/** Envoy draws each part alone, so that it cannot say "the same ten percent wait and then fail". */
function drawsOnce({ percent, delay, abort, responseRateLimit }: FaultRule): boolean {
  return percent === 100 || [delay, abort, responseRateLimit].filter((part) => part !== undefined).length === 1;
}

function ourFault(fault: FaultRule): JsonValue {
  return {
    percentage: shareOf(fault.percent),
    matches: fault.matches.map((match) => ({ headers: headersOf(match) })),
    headers: forGrpc(fault),
    ...partsOf(fault, shareOf(100)),
  };
}

function partsOf({ delay, abort, responseRateLimit }: FaultRule, percentage: Json): Json {
  return {
    ...(delay === undefined ? {} : { delay: { fixedDelay: jsonSeconds(durationMs(delay.fixed)), percentage } }),
    ...(abort === undefined ? {} : { abort: { ...abortOf(abort), percentage } }),
    ...(responseRateLimit === undefined
      ? {}
      : { responseRateLimit: { fixedLimit: { limitKbps: String(responseRateLimit.kibPerSecond) }, percentage } }),
  };
}

function abortOf({ httpStatus, grpcStatus }: NonNullable<FaultRule["abort"]>): Json {
  return grpcStatus === undefined
    ? { httpStatus: httpStatus ?? 0 }
    : { grpcStatus: grpcStatusNames.indexOf(grpcStatus) };
}

/** FractionalPercent: in the finest of its units where a percent has a fraction. */
function shareOf(percent: number): Json {
  return Number.isInteger(percent)
    ? { numerator: percent }
    : { numerator: Math.round(percent * 10_000), denominator: "MILLION" };
}

function headersOf({ path, method, headers = [] }: FaultRule["matches"][number]): readonly Json[] {
  return [
    ...(path === undefined ? [] : [{ name: ":path", ...regex(pathPattern(path)) }]),
    ...(method === undefined ? [] : [{ name: ":method", stringMatch: { exact: method } }]),
    ...headers.map(({ type, name, value }) => ({
      name: name.toLowerCase(),
      ...(type === "Exact" ? { stringMatch: { exact: value } } : regex(value)),
    })),
  ];
}

/** A code of gRPC is for who speaks it. */
function forGrpc({ abort }: FaultRule): readonly Json[] {
  return abort?.grpcStatus === undefined ? [] : [{ name: "content-type", stringMatch: { prefix: "application/grpc" } }];
}

function regex(pattern: string): Json {
  return { stringMatch: { safeRegex: { regex: pattern } } };
}

/** `:path` has the query behind it. */
function pathPattern({ type, value }: NonNullable<FaultRule["matches"][number]["path"]>): string {
  const plain = value.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  switch (type) {
    case "Exact":
      return `${plain}(\\?.*)?`;
    case "PathPrefix":
      return plain.endsWith("/") ? `${plain}.*` : `${plain}([/?].*)?`;
    case "RegularExpression":
      return `(?:${value})(\\?.*)?`;
    default:
      return type satisfies never;
  }
}
