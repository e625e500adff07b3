// The routes of one port of a service: those of its attached HTTPRoutes and GRPCRoutes in Gateway API's order, or the one default.
import type { FilterOverride, JsonValue } from "#config/model/filter-config.ts";
import type { ForwardAction, Route, RouteAction, WeightedCluster } from "#config/model/route.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { GRPCRouteRule } from "#config/schema/grpc-route.ts";
import type { HTTPRouteRule } from "#config/schema/http-route.ts";
import type { RouteResource } from "../../mesh/snapshot.ts";
import { serviceKey, type RegistryService, type ServicePort } from "../../registry/registry.ts";
import { anyRequest, emptyScope, forwardDefaults } from "../defaults.ts";
import { hashPolicies } from "../policy/cluster.ts";
import { ruleOverrides, rulesOf } from "../policy/policy-filters.ts";
import { fallbackBackends } from "../policy/fallback.ts";
import { breakerOverride } from "../policy/route-breaker.ts";
import { retryOverride, retryPolicy } from "../policy/retries.ts";
import { trafficFor, type TrafficBlocks } from "../policy/traffic.ts";
import { findPort, meshConfigOf, wholeBackend, type Backend, type Scope } from "../scope.ts";
import { attachedRoutes } from "./attach.ts";
import { resolveBackend, type ParentContext } from "./backends.ts";
import { headerMutations, ruleFilters, unsupportedFilter, type RuleFilters } from "./filters.ts";
import { partsOf } from "./backend-rules.ts";
import { withPreflight } from "./cors.ts";
import { compareMatches, grpcMatch, httpMatch, type RankedMatch } from "./match.ts";

export interface BuiltRoutes {
  readonly routes: readonly Route[];
  /** Everything that the routes can send to, mirrors included. */
  readonly backends: readonly Backend[];
}

interface Ranked {
  readonly match: RankedMatch;
  readonly route: Route;
}

type Rule = HTTPRouteRule | GRPCRouteRule;

/** With a route attached, what no rule matches is answered 404 (GEP-1294); without any, all goes to the service itself. */
export function serviceRoutes(scope: Scope, service: RegistryService, port: ServicePort): BuiltRoutes {
  const attached = attachedRoutes(scope.reader, service, port, scope.clientNamespace);
  const backends = new Map<string, Backend>();
  const rules = attached.flatMap((route) => rulesOf(route).map((rule) => ({ route, rule })));
  const target = { service: serviceKey(service), port, direction: "outbound" } as const;
  for (const backend of fallbackBackends(scope, target, rules)) backends.set(backend.cluster, backend);
  if (attached.length === 0) {
    const backend = wholeBackend(serviceKey(service), port.port);
    backends.set(backend.cluster, backend);
    return { routes: [routeTo(scope, service, port, backend)], backends: [...backends.values()] };
  }
  const ranked = attached.flatMap((route) => routeOf(scope, service, port, route, backends));
  // A stable sort: equal matches stay in the order of their routes' age and names, then of rules, then of matches.
  const sorted = ranked.toSorted((left, right) => compareMatches(left.match, right.match));
  return { routes: sorted.map(({ route }) => route), backends: [...backends.values()] };
}

/** Everything to one backend of a service, under the service's own policies. */
export function routeTo(scope: Scope, service: RegistryService, port: ServicePort, backend: Backend): Route {
  const key = serviceKey(service);
  const blocks = trafficFor(scope.reader, { service: key, port });
  return {
    ...emptyScope,
    name: `Service ${key}`,
    match: anyRequest,
    action: {
      ...forwardDefaults,
      ...carriage(blocks, undefined),
      hashPolicy: hashPolicies(blocks.loadBalancing, meshConfigOf(scope.reader)),
      target: { kind: "cluster", name: backend.cluster },
    },
    filterOverrides: retryOverride(blocks.retries, blocks.retriesFrom ?? ""),
    metadata: {
      heddle: { kind: "Service", namespace: service.namespace, name: service.name },
      ...hedgingOf(blocks),
    },
  };
}

function routeOf(
  scope: Scope,
  service: RegistryService,
  port: ServicePort,
  route: RouteResource,
  backends: Map<string, Backend>,
): readonly Ranked[] {
  return rulesOf(route).flatMap((rule, index) =>
    matchesOf(route, rule).flatMap((match) =>
      partsOf(rule).flatMap((part) => {
        const hasCors = part.rule.filters?.some(({ type }) => type === "CORS") === true;
        return (hasCors ? withPreflight(match) : [match]).map((one): Ranked => {
          const inPart = { ...one, match: { ...one.match, runtimeFraction: part.upTo } };
          return { match: inPart, route: ruleRoute(scope, service, port, route, part.rule, index, inPart, backends) };
        });
      }),
    ),
  );
}

/** The matches of a rule; one that takes everything where it has none. */
export function matchesOf(route: RouteResource, rule: Rule): readonly RankedMatch[] {
  if (route.kind === "GRPCRoute") {
    const matches = (rule as GRPCRouteRule).matches ?? []; // the rule is this route's
    return matches.length === 0 ? [grpcMatch(undefined)] : matches.map(grpcMatch);
  }
  const matches = (rule as HTTPRouteRule).matches; // the rule is this route's
  return matches.length === 0 ? [httpMatch({ path: { type: "PathPrefix", value: "/" } })] : matches.map(httpMatch);
}

function ruleRoute(
  scope: Scope,
  service: RegistryService,
  port: ServicePort,
  route: RouteResource,
  rule: Rule,
  index: number,
  { match }: RankedMatch,
  backends: Map<string, Backend>,
): Route {
  const { namespace, name } = route.metadata;
  const key = serviceKey(service);
  const parent: ParentContext = {
    routeKind: route.kind,
    routeNamespace: namespace,
    parentService: key,
    parentPort: port.port,
  };
  const subset = onlySubset(scope, route, rule, service);
  const blocks = trafficFor(scope.reader, { service: key, port, subset, route, rule: rule.name });
  const filters = ruleFilters(scope, rule.filters ?? [], parent, match);
  collectMirrors(scope, rule, parent, backends);
  const metadata: { readonly [key: string]: JsonValue } = {
    kind: route.kind,
    namespace,
    name,
    rule: rule.name ?? index,
    ...(blocks.backends?.choice === "smooth" ? { weights: "smooth" } : {}),
  };
  return {
    name: `${route.kind} ${namespace}/${name} rule ${rule.name ?? index}`,
    match,
    action: actionOf(scope, route.kind, rule, blocks, filters, parent, backends),
    requestHeaders: filters.requestHeaders,
    responseHeaders: filters.responseHeaders,
    filterOverrides: overridesOf(scope, key, port, route, rule, blocks),
    metadata: { heddle: metadata, ...hedgingOf(blocks) },
  };
}

/** By filter name, the order in which a map of xDS has them. */
function overridesOf(
  scope: Scope,
  service: string,
  port: ServicePort,
  route: RouteResource,
  rule: Rule,
  blocks: TrafficBlocks,
): readonly FilterOverride[] {
  return [
    ...ruleOverrides(scope.reader, { service, port, direction: "outbound", route, rule, dialect: scope.dialect }),
    ...breakerOverride(scope.reader, { service, port, route, rule }),
    ...retryOverride(blocks.retries, blocks.retriesFrom ?? ""),
  ].toSorted((left, right) => (left.filter < right.filter ? -1 : 1));
}

/** Gateway API: requests for a backend that does not exist are answered 500, gRPC calls UNAVAILABLE. */
const missingBackend = { HTTPRoute: 500, GRPCRoute: 503 } as const;

function actionOf(
  scope: Scope,
  kind: RouteResource["kind"],
  rule: Rule,
  blocks: TrafficBlocks,
  filters: RuleFilters,
  parent: ParentContext,
  backends: Map<string, Backend>,
): RouteAction {
  if (filters.unsupported !== undefined)
    return { kind: "direct", status: 500, body: `the filter ${filters.unsupported} is not supported` };
  if (filters.redirect !== undefined) return filters.redirect;
  const target = targetOf(scope, rule, parent, backends);
  if (typeof target === "string") return { kind: "direct", status: missingBackend[kind], body: target };
  return {
    ...forwardDefaults,
    ...carriage(blocks, "timeouts" in rule || "retry" in rule ? rule : undefined),
    ...filters.rewrites,
    clusterNotFoundStatus: missingBackend[kind],
    mirrors: filters.mirrors,
    ...target,
  };
}

type Target = Pick<ForwardAction, "target" | "subset" | "hashPolicy">;

/** A text: why nothing can be forwarded. Backends that do not resolve keep their share, which is answered 500. */
function targetOf(scope: Scope, rule: Rule, parent: ParentContext, backends: Map<string, Backend>): Target | string {
  const all = rule.backendRefs ?? [];
  const refs = all.filter((ref) => ref.weight > 0);
  if (refs.length === 0) return "the rule has no backend";
  const clusters: WeightedCluster[] = [];
  const refusals: string[] = [];
  let hashPolicy: ForwardAction["hashPolicy"] = [];
  for (const ref of refs) {
    const resolved = resolveBackend(scope, ref, parent);
    const unsupported = unsupportedFilter(ref.filters);
    const base = ofBackend(ref);
    if (resolved.kind === "refused" || unsupported !== undefined) {
      refusals.push(
        resolved.kind === "refused"
          ? resolved.message
          : `the filter ${unsupported ?? ""} is not supported on a backend`,
      );
      clusters.push({ ...base, name: `unresolved/${ref.namespace ?? parent.routeNamespace}/${ref.name}`, subset: {} });
      continue;
    }
    backends.set(resolved.backend.cluster, resolved.backend);
    // A route has one hash for all its backends: the first that wants one says how.
    if (hashPolicy.length === 0) hashPolicy = hashOf(scope, resolved.backend, ref);
    clusters.push({ ...base, name: resolved.backend.cluster, subset: resolved.labels });
  }
  if (refusals.length === refs.length) return refusals.join("; ");
  // Sessions stay with a backend that gets no new ones (GEP-1619).
  if (rule.sessionPersistence !== undefined)
    for (const ref of all) {
      const resolved = ref.weight > 0 ? undefined : resolveBackend(scope, ref, parent);
      if (resolved?.kind !== "backend" || unsupportedFilter(ref.filters) !== undefined) continue;
      backends.set(resolved.backend.cluster, resolved.backend);
      clusters.push({ ...ofBackend(ref), name: resolved.backend.cluster, subset: resolved.labels });
    }
  const [only] = clusters;
  if (clusters.length === 1 && only !== undefined && !changesHeaders(only))
    return { target: { kind: "cluster", name: only.name }, subset: only.subset, hashPolicy };
  return { target: { kind: "weighted", clusters }, subset: {}, hashPolicy };
}

function ofBackend({
  weight,
  filters = [],
}: NonNullable<Rule["backendRefs"]>[number]): Omit<WeightedCluster, "name" | "subset"> {
  const modifier = (type: "RequestHeaderModifier" | "ResponseHeaderModifier") =>
    filters.find((filter) => filter.type === type);
  return {
    ...emptyScope,
    weight,
    hostRewrite: undefined,
    requestHeaders: headerMutations(modifier("RequestHeaderModifier")?.requestHeaderModifier),
    responseHeaders: headerMutations(modifier("ResponseHeaderModifier")?.responseHeaderModifier),
  };
}

function changesHeaders({ requestHeaders, responseHeaders }: WeightedCluster): boolean {
  return [requestHeaders, responseHeaders].some(({ set, add, remove }) => set.length + add.length + remove.length > 0);
}

function collectMirrors(scope: Scope, rule: Rule, parent: ParentContext, backends: Map<string, Backend>): void {
  for (const filter of rule.filters ?? []) {
    if (filter.requestMirror === undefined) continue;
    const resolved = resolveBackend(scope, filter.requestMirror.backendRef, parent, true);
    if (resolved.kind === "backend") backends.set(resolved.backend.cluster, resolved.backend);
  }
}

function hashOf(
  scope: Scope,
  backend: Backend,
  ref: { readonly kind: string; readonly name: string },
): ForwardAction["hashPolicy"] {
  const port = findPort(scope.reader.get("services", backend.service), backend.port);
  if (port === undefined) return [];
  const subset = ref.kind === "ServiceSubset" ? ref.name : undefined;
  const blocks = trafficFor(scope.reader, { service: backend.service, port, subset });
  return hashPolicies(blocks.loadBalancing, meshConfigOf(scope.reader));
}

/** The subset of the service that all requests of the rule go to: its policies hold for them as wholes too. */
export function onlySubset(
  { reader }: Scope,
  route: RouteResource,
  { backendRefs = [] }: Rule,
  service: RegistryService,
): string | undefined {
  const [only] = backendRefs;
  if (only === undefined || backendRefs.length > 1 || only.kind !== "ServiceSubset") return undefined;
  const namespace = only.namespace ?? route.metadata.namespace;
  const subset = reader.get("subsets", `${namespace}/${only.name}`);
  return namespace === service.namespace && subset?.spec.service === service.name ? only.name : undefined;
}

/** In the route's metadata: Envoy has nothing that would say it. */
function hedgingOf({ hedging }: TrafficBlocks): { readonly [key: string]: JsonValue } {
  if (hedging === undefined) return {};
  return { hedging: { delayMs: durationMs(hedging.delay), maxAttempts: hedging.maxAttempts } };
}

/** Timeouts and retries. What the rule itself says goes before what policies say. */
function carriage(
  blocks: TrafficBlocks,
  rule: Pick<HTTPRouteRule, "timeouts" | "retry"> | undefined,
): Pick<ForwardAction, "timeoutMs" | "idleTimeoutMs" | "maxStreamMs" | "retry"> {
  const request = rule?.timeouts?.request ?? blocks.timeouts?.request;
  const attempt = rule?.timeouts?.backendRequest ?? blocks.timeouts?.backendRequest;
  const { idle, backendIdle, stream } = blocks.timeouts ?? {};
  return {
    timeoutMs: request === undefined ? 0 : durationMs(request),
    idleTimeoutMs: idle === undefined ? undefined : durationMs(idle),
    maxStreamMs: stream === undefined ? undefined : durationMs(stream),
    retry: retryPolicy(blocks.retries, rule?.retry, {
      perTryTimeoutMs: attempt === undefined ? 0 : durationMs(attempt),
      perTryIdleTimeoutMs: backendIdle === undefined ? 0 : durationMs(backendIdle),
    }),
  };
}
