// The way back: what became of each document, as Gateway API's conditions say it.
import { formatPlace } from "#config/load/config-error.ts";
import type { FallbackPolicy } from "#config/schema/fallback-policy.ts";
import type { Resource } from "#config/schema/kinds.ts";
import { findNoEffect } from "#config/schema/no-effect.ts";
import { findNoEffectInMesh, type MeshView } from "#config/schema/no-effect-in-mesh.ts";
import { isTargetPermitted, notPermitted, type GrantSource } from "#config/schema/policy-grants.ts";
import { conflictsOf, isWhollyOverruled, type PolicyConflict } from "#config/schema/policy-conflicts.ts";
import { MeshReader } from "../mesh/derivation.ts";
import type { MeshSnapshot, RouteResource } from "../mesh/snapshot.ts";
import { isDividedTcp } from "./cluster.ts";
import { findPort, meshConfigOf, wholeBackend, type Scope } from "./scope.ts";
import { resolveFallback } from "./policy/fallback.ts";
import { hasLabels } from "./policy/peer-authentication.ts";
import { isServiceParent, namesPort, refusalOf, type ParentRef } from "./gateway-api/attach.ts";
import { unsupportedFilter, type AnyFilter } from "./gateway-api/filters.ts";
import { resolveBackend, type BackendObject, type ResolvedBackend } from "./gateway-api/backends.ts";

export interface Condition {
  /** `Effective` is only there when it is not: a field is valid, and nothing acts on it. `PartiallyInvalid` only when it is. */
  readonly type: "Accepted" | "ResolvedRefs" | "Programmed" | "Effective" | "PartiallyInvalid";
  readonly status: "True" | "False" | "Unknown";
  /** One word, stable. */
  readonly reason: string;
  readonly message: string;
}

export interface ObjectStatus {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `file:line:column`, or `kubernetes HTTPRoute shop/cart`. */
  readonly at: string;
  /** The generation of the object that was looked at; undefined: Kubernetes did not make it. */
  readonly observedGeneration: number | undefined;
  readonly conditions: readonly Condition[];
  /** Of routes: for each parent that is a Service. What is said of other parents is for their controllers. */
  readonly parents: readonly ParentStatus[];
}

export interface ParentStatus {
  /** `Service shop/cart`, for people. */
  readonly parent: string;
  /** As it stands in the route. */
  readonly ref: ParentRef;
  readonly conditions: readonly Condition[];
}

/** What the snapshot alone can tell; whether proxies have taken it on is told by their receipts. */
export function statusOf(snapshot: MeshSnapshot): readonly ObjectStatus[] {
  const scope: Scope = { reader: new MeshReader(snapshot), dialect: "heddle", clientNamespace: "" };
  const routes = new Map<string, RouteResource>(
    snapshot.resources.flatMap((resource) => {
      if (resource.kind !== "HTTPRoute" && resource.kind !== "GRPCRoute") return [];
      const { kind, metadata } = resource;
      return [[`${kind} ${metadata.namespace}/${metadata.name}`, resource] as const];
    }),
  );
  const mesh: MeshView = {
    grants: grantsOf(scope),
    portsOf: (key) =>
      snapshot.tables.services.get(key)?.ports.map(({ name, protocol }) => ({ name, isOpaque: protocol === "TCP" })),
    routeOf: (kind, key) => routes.get(`${kind} ${key}`),
    tenants: meshConfigOf(scope.reader).tenants,
  };
  const conflicts = Map.groupBy(conflictsOf(snapshot.resources), ({ policy }) => policy);
  const documents = snapshot.resources.map((resource) => {
    const { namespace, name, generation: observedGeneration } = resource.metadata;
    const isRoute = resource.kind === "HTTPRoute" || resource.kind === "GRPCRoute";
    const parents = isRoute ? routeParents(scope, resource) : [];
    const told = isRoute
      ? worst(parents.map((parent) => parent.conditions))
      : conditionsOf(scope, resource, routes, conflicts);
    const conditions = oneOfEachType([...told, ...withoutEffect(resource), ...withoutEffectIn(resource, mesh)]);
    const at = formatPlace(resource.source);
    return { kind: resource.kind, namespace, name, at, observedGeneration, conditions, parents };
  });
  return [...documents, ...servicesWithTrouble(scope, snapshot)];
}

/** Services come from registries, not from documents alone: only those with something to say are listed. */
function servicesWithTrouble(scope: Scope, { tables }: MeshSnapshot): readonly ObjectStatus[] {
  return [...tables.services].flatMap(([key, { namespace, name, origin }]) => {
    const conditions = dividedTcp(scope, key);
    if (conditions.length === 0) return [];
    const nothing = { observedGeneration: undefined, parents: [] };
    return [{ kind: "ServiceEntry", namespace, name, at: origin, conditions, ...nothing }];
  });
}

/** A type stands once among conditions: of two with one type the first, with what both say. */
function oneOfEachType(conditions: readonly Condition[]): readonly Condition[] {
  return [...Map.groupBy(conditions, ({ type }) => type).values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [{ ...first, message: [first, ...others].map(({ message }) => message).join("; ") }],
  );
}

function routeParents(scope: Scope, route: RouteResource): ObjectStatus["parents"] {
  return (route.spec.parentRefs ?? []).filter(isServiceParent).map((parent) => {
    const refusal = refusalOf(scope.reader, route, parent);
    const accepted = refusal === undefined ? acceptance(route) : [bad("Accepted", refusal.reason, refusal.message)];
    const key = `${parent.namespace ?? route.metadata.namespace}/${parent.name}`;
    const conditions = [...accepted, resolvedRefs(scope, route, parent, key), ...withoutEffect(route)];
    return { parent: `Service ${key}`, ref: parent, conditions };
  });
}

/**
 * A rule with a filter that is not there is answered 500 (Gateway API: a filter must never be skipped). With such rules alone the
 * route is not accepted, with others beside them it is partially invalid.
 */
function acceptance(route: RouteResource): readonly Condition[] {
  const rules = route.spec.rules ?? [];
  const invalid = rules.flatMap(({ filters, backendRefs = [] }, index) => {
    const type = unsupportedFilter(filters) ?? backendRefs.map((ref) => unsupportedFilter(ref.filters)).find(Boolean);
    return type === undefined
      ? []
      : [`rules[${index}] has the filter ${type}, which is not supported there: its requests are answered 500`];
  });
  if (invalid.length === 0) return [good("Accepted", "Accepted")];
  if (invalid.length === rules.length) return [bad("Accepted", "UnsupportedValue", invalid.join("; "))];
  const message = `Dropped Rule: ${invalid.join("; ")}`;
  return [good("Accepted", "Accepted"), { ...good("PartiallyInvalid", "UnsupportedValue"), message }];
}

function resolvedRefs(scope: Scope, route: RouteResource, parent: ParentRef, service: string): Condition {
  const ports = scope.reader.get("services", service)?.ports.filter((port) => namesPort(parent, port)) ?? [];
  const context = {
    routeKind: route.kind,
    routeNamespace: route.metadata.namespace,
    parentService: service,
    parentPort: ports[0]?.port ?? parent.port ?? 0,
  };
  for (const [index, rule] of (route.spec.rules ?? []).entries()) {
    const filters = [rule, ...(rule.backendRefs ?? [])].flatMap((one): readonly AnyFilter[] => one.filters ?? []);
    const mirrors = filters.flatMap(({ requestMirror }) =>
      requestMirror === undefined ? [] : [requestMirror.backendRef],
    );
    const refs: readonly BackendObject[] = [...(rule.backendRefs ?? []), ...mirrors];
    for (const ref of refs) {
      const resolved = resolveBackend(scope, ref, context);
      if (resolved.kind === "refused")
        return bad("ResolvedRefs", resolved.reason, `rules[${index}]: ${resolved.message}`);
    }
  }
  return good("ResolvedRefs", "ResolvedRefs");
}

function conditionsOf(
  scope: Scope,
  resource: Resource,
  routes: ReadonlyMap<string, RouteResource>,
  conflicts: ReadonlyMap<Resource, readonly PolicyConflict[]>,
): readonly Condition[] {
  switch (resource.kind) {
    case "TrafficPolicy":
    case "RateLimitPolicy":
    case "FallbackPolicy":
    case "FaultPolicy":
    case "PeerAuthentication":
    case "Telemetry":
      return policyConditions(scope, resource, routes, conflicts.get(resource) ?? []);
    case "ServiceSubset": {
      const key = `${resource.metadata.namespace}/${resource.spec.service}`;
      const service = scope.reader.get("services", key);
      if (service === undefined)
        return [good("Accepted", "Accepted"), bad("ResolvedRefs", "TargetNotFound", `there is no service "${key}"`)];
      const count = service.endpoints.filter(({ labels }) => hasLabels(labels, resource.spec.labels)).length;
      const accepted = {
        ...good("Accepted", "Accepted"),
        message: `${count} of ${service.endpoints.length} endpoints`,
      };
      return [accepted, good("ResolvedRefs", "ResolvedRefs")];
    }
    case "MeshConfig": {
      const missing = missingLimits(scope);
      const unresolved = missing === undefined ? [] : [bad("ResolvedRefs", "TargetNotFound", missing)];
      return [good("Accepted", "Accepted"), ...unresolved];
    }
    case "HTTPRoute":
    case "GRPCRoute":
    case "ServiceEntry":
    // It has no status in Gateway API.
    case "ReferenceGrant":
      return [];
    default:
      return resource satisfies never;
  }
}

/** The same as `heddle analyze` warns of. */
function withoutEffect(resource: Resource): readonly Condition[] {
  return asCondition(findNoEffect(resource));
}

function withoutEffectIn(resource: Resource, mesh: MeshView): readonly Condition[] {
  return asCondition(findNoEffectInMesh(resource, mesh));
}

function asCondition(warnings: readonly { readonly message: string }[]): readonly Condition[] {
  if (warnings.length === 0) return [];
  return [bad("Effective", "NoEffect", warnings.map(({ message }) => message).join("; "))];
}

/** Opaque bytes name no tenant, so a port that is divided by tenants is not served at all. */
function dividedTcp(scope: Scope, key: string): readonly Condition[] {
  const ports = scope.reader.get("services", key)?.ports ?? [];
  const divided = ports.filter((port) => isDividedTcp(scope, wholeBackend(key, port.port)));
  if (divided.length === 0) return [];
  const names = divided.map(({ name }) => name).join(", ");
  return [
    bad(
      "Accepted",
      "UnsupportedValue",
      `port ${names} is opaque TCP and its endpoints are divided by tenants: its connections are refused, because no byte says whose they are`,
    ),
  ];
}

type RefusedBackend = Extract<ResolvedBackend, { kind: "refused" }>;

type Policy = Extract<
  Resource,
  { kind: "TrafficPolicy" | "RateLimitPolicy" | "FallbackPolicy" | "FaultPolicy" | "PeerAuthentication" | "Telemetry" }
>;

/** Accepted, even where a target is missing: it takes effect as soon as that is there. */
function policyConditions(
  scope: Scope,
  policy: Policy,
  routes: ReadonlyMap<string, RouteResource>,
  conflicts: readonly PolicyConflict[],
): readonly Condition[] {
  const said = conflicts.map(
    ({ block, winner }) =>
      `${winner.metadata.namespace}/${winner.metadata.name} has "${block}" for the same target and comes first`,
  );
  const message = [...new Set(said)].join("; ");
  const isOverruled = isWhollyOverruled(policy, conflicts);
  const accepted = isOverruled ? bad("Accepted", "Conflicted", message) : good("Accepted", "Accepted");
  const refs: readonly Target[] = policy.spec.targetRefs ?? [];
  const refused = refs.filter((ref) => !isTargetPermitted(policy, ref, grantsOf(scope)));
  const missing = refs
    .filter((ref) => !refused.includes(ref))
    .flatMap((ref) => missingTarget(scope, policy.metadata.namespace, ref, routes) ?? []);
  if (policy.kind === "RateLimitPolicy" && policy.spec.global !== undefined) {
    const isSaid = meshConfigOf(scope.reader).rateLimitService !== undefined;
    const unasked = isSaid ? missingLimits(scope) : "MeshConfig has no rateLimitService to ask for global limits";
    if (unasked !== undefined) missing.push(unasked);
  }
  const unresolved = [...refused.map((ref) => notPermitted(policy, ref)), ...missing];
  const other = policy.kind === "FallbackPolicy" ? refusedFallback(scope, policy) : undefined;
  if (other !== undefined) unresolved.push(`service.backendRef: ${other.message}`);
  const reason = refused.length > 0 ? "RefNotPermitted" : missing.length > 0 ? "TargetNotFound" : (other?.reason ?? "");
  return [
    accepted,
    unresolved.length === 0 ? good("ResolvedRefs", "ResolvedRefs") : bad("ResolvedRefs", reason, unresolved.join("; ")),
    ...(conflicts.length === 0 || isOverruled ? [] : [bad("Effective", "Conflicted", message)]),
  ];
}

/** What of MeshConfig's rate-limit service is not there. */
function missingLimits({ reader }: Scope): string | undefined {
  const limits = meshConfigOf(reader).rateLimitService;
  if (limits === undefined) return undefined;
  const key = `${limits.namespace}/${limits.name}`;
  const service = reader.get("services", key);
  if (service === undefined) return `there is no service "${key}"`;
  return findPort(service, limits.port) === undefined ? `service "${key}" has no port ${limits.port}` : undefined;
}

function grantsOf({ reader }: Scope): GrantSource {
  return {
    grantsIn: (namespace) => reader.get("referenceGrants", namespace) ?? [],
    serviceOfSubset: (key) => reader.get("subsets", key)?.spec.service,
  };
}

function refusedFallback({ reader }: Scope, policy: FallbackPolicy): RefusedBackend | undefined {
  const { metadata, spec } = policy;
  const target = spec.targetRefs.find(({ kind }) => kind === "Service" || kind === "ServiceEntry");
  const resolved = resolveFallback(reader, policy, {
    service: `${target?.namespace ?? metadata.namespace}/${target?.name ?? ""}`,
  });
  return resolved?.kind === "refused" ? resolved : undefined;
}

interface Target {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly sectionName?: string | undefined;
}

function missingTarget(
  { reader }: Scope,
  policyNamespace: string,
  ref: Target,
  routes: ReadonlyMap<string, RouteResource>,
): string | undefined {
  const key = `${ref.namespace ?? policyNamespace}/${ref.name}`;
  if (ref.kind === "ServiceSubset") {
    if (reader.get("subsets", key) === undefined) return `there is no ServiceSubset "${key}"`;
    return ref.sectionName === undefined ? undefined : `ServiceSubset "${key}" has no part called "${ref.sectionName}"`;
  }
  if (ref.kind === "HTTPRoute" || ref.kind === "GRPCRoute") {
    const route = routes.get(`${ref.kind} ${key}`);
    if (route === undefined) return `there is no ${ref.kind} "${key}"`;
    const hasRule = ref.sectionName === undefined || route.spec.rules?.some(({ name }) => name === ref.sectionName);
    return hasRule === true ? undefined : `${ref.kind} "${key}" has no rule called "${ref.sectionName ?? ""}"`;
  }
  const service = reader.get("services", key);
  if (service === undefined) return `there is no service "${key}"`;
  if (ref.sectionName !== undefined && findPort(service, ref.sectionName) === undefined)
    return `service "${key}" has no port "${ref.sectionName}"`;
  return undefined;
}

/** One condition of each type: the first that is not true, else the first. */
function worst(lists: readonly (readonly Condition[])[]): readonly Condition[] {
  if (lists.length === 0) return [bad("Accepted", "NoMatchingParent", "no parent of the route is a Service")];
  return (["Accepted", "ResolvedRefs", "PartiallyInvalid"] as const).flatMap((type) => {
    const all = lists.flat().filter((condition) => condition.type === type);
    return all.find((condition) => condition.status !== "True") ?? all[0] ?? [];
  });
}

function good(type: Condition["type"], reason: string): Condition {
  return { type, status: "True", reason, message: "" };
}

function bad(type: Condition["type"], reason: string, message: string): Condition {
  return { type, status: "False", reason, message };
}
