// RateLimitPolicy's global limits as settings of Envoy's rate-limit filter, which asks MeshConfig's service.
import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { GlobalLimits, RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { envoyGlobalRateLimitPerRouteType, envoyGlobalRateLimitType, filterTypes } from "../filter-types.ts";
import { meshConfigOf, wholeBackend } from "../scope.ts";
import { policiesOfPort, policiesOfRule } from "./attached.ts";
import type { FilterSettings, PolicyFilter, PolicyPort } from "./policy-filters.ts";

const OUR_ROUTE_TYPE = `${filterTypes.globalRateLimit.typeUrl}PerRoute`;

export const globalRateLimitPolicies: PolicyFilter = {
  name: filterTypes.globalRateLimit.name,
  // It describes no request, and so asks nobody.
  settings: (reader) => filterSettings(reader, []),
  forPort: (reader, target) => {
    const policies = policiesOfPort(reader, "rateLimits", target).filter(isGlobal);
    return policies.length === 0 ? undefined : filterSettings(reader, policies);
  },
  forHost: (reader, target) => {
    const policies = policiesOfPort(reader, "rateLimits", target).filter(isGlobal);
    return routeSettings(reader, policies, policies, target.dialect);
  },
  forRule: (reader, target) => {
    const own = policiesOfRule(reader, "rateLimits", target).filter(isGlobal);
    if (own.length === 0) return undefined;
    // The limits of the port hold as well.
    const ofPort = policiesOfPort(reader, "rateLimits", target).filter(isGlobal);
    return routeSettings(reader, [...ofPort, ...own], ofPort, target.dialect);
  },
};

function isGlobal({ spec }: RateLimitPolicy): boolean {
  return spec.global !== undefined;
}

/** Undefined: the mesh has no service to ask. */
function filterSettings(reader: MeshReader, policies: readonly RateLimitPolicy[]): FilterSettings | undefined {
  const service = meshConfigOf(reader).rateLimitService;
  if (service === undefined) return undefined;
  const { cluster } = wholeBackend(`${service.namespace}/${service.name}`, service.port);
  return {
    typeUrl: hasOurs(policies) ? filterTypes.globalRateLimit.typeUrl : envoyGlobalRateLimitType,
    config: {
      domain: service.domain,
      timeout: `${durationMs(service.timeout) / 1000}s`,
      failureModeDeny: service.failureMode === "closed",
      ...mannerOf(policies),
      rateLimitService: { grpcService: { envoyGrpc: { clusterName: cluster } }, transportApiVersion: "V3" },
      rateLimits: rulesOf(policies),
    },
  };
}

/**
 * Of a virtual host or a route; the service is the filter's. Envoy's message has the filter's manner too, which is the port's policies'
 * or, where a chain is for many services, the usual one.
 */
function routeSettings(
  reader: MeshReader,
  policies: readonly RateLimitPolicy[],
  ofPort: readonly RateLimitPolicy[],
  dialect: PolicyPort["dialect"],
): FilterSettings | undefined {
  if (policies.length === 0 || meshConfigOf(reader).rateLimitService === undefined) return undefined;
  const isUsual = [policies, ofPort].every((list) => isDeepStrictEqual(mannerOf(list), mannerOf([])));
  const manner = isUsual || dialect === "envoy" ? {} : mannerOf(policies);
  return {
    typeUrl: hasOurs(policies) || (!isUsual && dialect !== "envoy") ? OUR_ROUTE_TYPE : envoyGlobalRateLimitPerRouteType,
    config: { ...manner, rateLimits: rulesOf(policies) },
  };
}

/** How clients are told of limits; without policies the usual way. */
function mannerOf(policies: readonly RateLimitPolicy[]): { readonly [field: string]: JsonValue } {
  const isShown = policies.length === 0 || policies.some(({ spec }) => spec.responseHeaders);
  return {
    rateLimitedAsResourceExhausted: policies.every(({ spec }) => spec.grpcStatus === "RESOURCE_EXHAUSTED"),
    enableXRatelimitHeaders: isShown ? "DRAFT_VERSION_03" : "OFF",
  };
}

type Entry = GlobalLimits["descriptors"][number]["entries"][number];

/** What Envoy has no action for. */
function hasOurs(policies: readonly RateLimitPolicy[]): boolean {
  return policies.some(({ spec }) =>
    spec.global?.descriptors.some(({ entries }) =>
      entries.some(({ type }) => type === "tenant" || type === "identity"),
    ),
  );
}

function rulesOf(policies: readonly RateLimitPolicy[]): JsonValue[] {
  return policies.flatMap(({ spec }) =>
    (spec.global?.descriptors ?? []).map(({ entries, hits }) => ({
      actions: entries.map(actionOf),
      ...(hits === undefined ? {} : { hitsAddend: { number: String(hits) } }),
    })),
  );
}

function actionOf({ type, key, name = "", value = "" }: Entry): JsonValue {
  switch (type) {
    case "constant":
      return { genericKey: { descriptorKey: key, descriptorValue: value } };
    case "header":
      return { requestHeaders: { headerName: name.toLowerCase(), descriptorKey: key } };
    case "method":
      return { requestHeaders: { headerName: ":method", descriptorKey: key } };
    case "host":
      return { requestHeaders: { headerName: ":authority", descriptorKey: key } };
    case "queryParameter":
      return { queryParameters: { queryParameterName: name, descriptorKey: key } };
    case "remoteAddress":
      return { remoteAddress: {} };
    case "tenant":
    case "identity":
      return { [type]: { descriptorKey: key } };
    default:
      return type satisfies never;
  }
}
