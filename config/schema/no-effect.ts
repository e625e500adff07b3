// Warns of fields that are valid, but that Heddle does not act on, or not there.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import type { GRPCRoute } from "./grpc-route.ts";
import type { HTTPRoute } from "./http-route.ts";
import { resourceName, type Resource } from "./kinds.ts";
import type { MeshConfig } from "./mesh-config.ts";

interface Found {
  readonly path: JsonPath;
  readonly says: string;
  readonly hint?: string;
}

// As in control-plane/translate/gateway-api/filters.ts, which answers 500 for these.
const unsupportedFilters: ReadonlySet<string> = new Set(["ExtensionRef", "CORS", "ExternalAuth"]);
const backendFilters: ReadonlySet<string> = new Set(["RequestHeaderModifier", "ResponseHeaderModifier"]);

/** The warnings for one resource. */
export function findNoEffect(resource: Resource): ConfigError[] {
  const found =
    resource.kind === "MeshConfig"
      ? meshFields(resource)
      : resource.kind === "HTTPRoute" || resource.kind === "GRPCRoute"
        ? routeFields(resource)
        : [];
  return found.map(({ path, says, hint }) => {
    const message = `${resourceName(resource)} is accepted, but ${says}`;
    const details = { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message } as const;
    return problemAt(resource.source, path, hint === undefined ? details : { ...details, hint });
  });
}

function meshFields({ spec }: MeshConfig): Found[] {
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
    if (rule.sessionPersistence !== undefined)
      found.push({
        path: [...path, "sessionPersistence"],
        says: "session persistence is not applied",
        hint: "use a TrafficPolicy with loadBalancing.hashOn",
      });
    for (const [filterAt, { type }] of (rule.filters ?? []).entries())
      if (unsupportedFilters.has(type)) found.push(unsupported([...path, "filters", filterAt], type, "rule"));
    for (const [backendAt, { filters = [] }] of (rule.backendRefs ?? []).entries())
      for (const [filterAt, { type }] of filters.entries())
        if (!backendFilters.has(type))
          found.push(unsupported([...path, "backendRefs", backendAt, "filters", filterAt], type, "backend"));
  }
  return found;
}

function unsupported(path: JsonPath, type: string, where: "rule" | "backend"): Found {
  return { path, says: `the filter ${type} of a ${where} is not supported: its requests are answered 500` };
}
