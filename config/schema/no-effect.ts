// Warns of fields that are valid, but that Heddle does not act on, or not there.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import type { GRPCRoute } from "./grpc-route.ts";
import type { HTTPRoute } from "./http-route.ts";
import { resourceName, type Resource } from "./kinds.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { TrafficPolicy } from "./traffic-policy.ts";

interface Found {
  readonly path: JsonPath;
  readonly says: string;
  readonly hint?: string;
}

// As in control-plane/translate/gateway-api/filters.ts, which answers 500 for these.
const unsupportedFilters: ReadonlySet<string> = new Set(["ExtensionRef", "ExternalAuth"]);

/** The warnings for one resource. */
export function findNoEffect(resource: Resource): ConfigError[] {
  return fieldsOf(resource).map(({ path, says, hint }) => {
    const message = `${resourceName(resource)} is accepted, but ${says}`;
    const details = { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message } as const;
    return problemAt(resource.source, path, hint === undefined ? details : { ...details, hint });
  });
}

function fieldsOf(resource: Resource): Found[] {
  switch (resource.kind) {
    case "MeshConfig":
      return tenantFields(resource);
    case "HTTPRoute":
    case "GRPCRoute":
      return routeFields(resource);
    case "TrafficPolicy":
      return policyFields(resource);
    case "FallbackPolicy":
    case "FaultPolicy":
    case "PeerAuthentication":
    case "ReferenceGrant":
    case "RateLimitPolicy":
    case "ServiceEntry":
    case "ServiceSubset":
    case "Telemetry":
      return [];
    default:
      return resource satisfies never;
  }
}

/** False for what a default filled in. */
function isWritten({ source }: Resource, path: JsonPath): boolean {
  const here = source.locate(path, "key");
  const nowhere = source.locate([...path.slice(0, -1), ""], "key");
  return here.line !== nowhere.line || here.column !== nowhere.column;
}

function policyFields(policy: TrafficPolicy): Found[] {
  return [...budgetFields(policy), ...backendFields(policy), ...filterFields(policy)];
}

function budgetFields(policy: TrafficPolicy): Found[] {
  const path = ["spec", "retries", "budget"];
  const isForRoute = policy.spec.targetRefs.some(isRoute);
  if (!isForRoute || policy.spec.retries === undefined || !isWritten(policy, path)) return [];
  return [
    {
      path,
      says: "a route has no retry budget of its own: its backends' hold",
      hint: "write the budget in a TrafficPolicy for the Service",
    },
  ];
}

/** What is about connections and endpoints is a backend's, whichever route leads there. */
function backendFields({ spec }: TrafficPolicy): Found[] {
  if (!spec.targetRefs.some(isRoute)) return [];
  const blocks = ["connectionLimits", "outlierDetection", "loadBalancing", "healthCheck", "tenants"] as const;
  const timeouts = ["connect", "connectionIdle"] as const;
  const paths = [
    ...blocks.filter((block) => spec[block] !== undefined).map((block) => [block]),
    ...timeouts.filter((field) => spec.timeouts?.[field] !== undefined).map((field) => ["timeouts", field]),
  ];
  return paths.map((path) => ({
    path: ["spec", ...path],
    says: `a route has no ${path.join(".")} of its own: that of its backends holds`,
    hint: "write it in a TrafficPolicy for the Service",
  }));
}

/** Blocks that are filters act where requests come in or go out, which a subset of endpoints does not know. */
function filterFields({ spec }: TrafficPolicy): Found[] {
  const hint = "write it in a TrafficPolicy for the Service";
  const found: Found[] = [];
  if (spec.adaptiveConcurrency !== undefined && spec.targetRefs.some(isRoute))
    found.push({
      path: ["spec", "adaptiveConcurrency"],
      says: "a route has no concurrency limit of its own: the server's sidecar has one for each port",
      hint,
    });
  for (const block of ["adaptiveConcurrency", "admissionControl", "bulkhead", "backends"] as const)
    if (spec[block] !== undefined && spec.targetRefs.some(({ kind }) => kind === "ServiceSubset"))
      found.push({ path: ["spec", block], says: `${block} is not for a part of a service's endpoints`, hint });
  return found;
}

function isRoute({ kind }: TrafficPolicy["spec"]["targetRefs"][number]): boolean {
  return kind === "HTTPRoute" || kind === "GRPCRoute";
}

function tenantFields({ spec }: MeshConfig): Found[] {
  return (spec.tenants?.sources ?? []).flatMap(({ jwtClaim }, at) =>
    jwtClaim === undefined
      ? []
      : [
          {
            path: ["spec", "tenants", "sources", at, "jwtClaim"],
            says: "no request has a verified JWT yet: this source never names a tenant",
          },
        ],
  );
}

function routeFields({ spec }: HTTPRoute | GRPCRoute): Found[] {
  const found: Found[] = [];
  const { parentRefs = [], rules = [] } = spec;
  if (parentRefs.length === 0)
    found.push({ path: ["spec", "parentRefs"], says: "it attaches to nothing: it has no parentRefs" });
  for (const [at, { kind }] of parentRefs.entries()) {
    if (kind === "Service" || kind === "ServiceEntry") continue;
    const says = `its parent is a ${kind}: a mesh route attaches to a Service`;
    found.push({ path: ["spec", "parentRefs", at], says, hint: 'write group: "" and kind: Service' });
  }
  for (const field of ["hostnames", "useDefaultGateways"] as const)
    if (spec[field] !== undefined)
      found.push({ path: ["spec", field], says: `${field} has no meaning for a route of a Service` });
  for (const [at, rule] of rules.entries()) {
    const path = ["spec", "rules", at];
    for (const [filterAt, { type }] of (rule.filters ?? []).entries())
      if (unsupportedFilters.has(type)) found.push(unsupported([...path, "filters", filterAt], type, "rule"));
    for (const [backendAt, { filters = [] }] of (rule.backendRefs ?? []).entries())
      for (const [filterAt, { type }] of filters.entries())
        if (unsupportedFilters.has(type))
          found.push(unsupported([...path, "backendRefs", backendAt, "filters", filterAt], type, "backend"));
  }
  return found;
}

function unsupported(path: JsonPath, type: string, where: "rule" | "backend"): Found {
  return { path, says: `the filter ${type} of a ${where} is not supported: its requests are answered 500` };
}
