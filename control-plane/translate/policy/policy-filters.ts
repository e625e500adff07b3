// Filters that policies put into a chain: for a port of a service, for a virtual host, for one rule of a route.
import type { FilterConfig, FilterOverride, JsonValue } from "#config/model/filter-config.ts";
import type { GRPCRouteRule } from "#config/schema/grpc-route.ts";
import type { HTTPRouteRule } from "#config/schema/http-route.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import type { Dialect } from "../../mesh/resources.ts";
import type { RouteResource } from "../../mesh/snapshot.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { partsOf } from "../gateway-api/backend-rules.ts";
import { corsPolicies } from "../gateway-api/cors.ts";
import { fallbackPolicies } from "./fallback.ts";
import { faultPolicies } from "./fault.ts";
import { adaptiveConcurrencyPolicies } from "./adaptive-concurrency.ts";
import { admissionControlPolicies } from "./admission-control.ts";
import { sessionPolicies } from "../gateway-api/session.ts";
import { bulkheadPolicies } from "./bulkhead.ts";
import { overloadProtection } from "./overload.ts";
import { globalRateLimitPolicies } from "./global-rate-limit.ts";
import { loadReports } from "./load-reports.ts";
import { rateLimitPolicies } from "./rate-limit.ts";

/** One port of a service, seen by its clients' proxies or by its own. */
export interface PolicyPort {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: ServicePort;
  readonly direction: "inbound" | "outbound";
  /** Who reads the settings, where that makes a difference. */
  readonly dialect?: Dialect;
}

export interface PolicyRule extends PolicyPort {
  readonly route: RouteResource;
  readonly rule: HTTPRouteRule | GRPCRouteRule;
}

/** The configuration of a filter: a message, and its canonical JSON. */
export interface FilterSettings {
  readonly typeUrl: string;
  readonly config: JsonValue;
}

/** What policies of some kind say to one filter. */
export interface PolicyFilter {
  /** The filter in generated chains; `settings` are those of a filter that does nothing. */
  readonly name: string;
  /** A function where they are the mesh's; undefined: no chain has the filter. */
  readonly settings: FilterSettings | ((reader: MeshReader) => FilterSettings | undefined);
  /** No client's sidecar has anything to do with it: chains of clients are without it. */
  readonly inboundOnly?: boolean;
  /** Of all requests to a port; undefined: nothing. */
  forPort(reader: MeshReader, target: PolicyPort): FilterSettings | undefined;
  /** The same as a virtual host says it, where that takes another message. */
  forHost?(reader: MeshReader, target: PolicyPort): FilterSettings | undefined;
  /** Of the requests of one rule, in the place of what holds for the port; undefined: what holds for the port. */
  forRule(reader: MeshReader, target: PolicyRule): FilterSettings | undefined;
}

/** In the order of the chain (filters/standard.ts): behind identity and tenant, before breaker and retries. */
const policyFilters: readonly PolicyFilter[] = [
  corsPolicies,
  fallbackPolicies,
  faultPolicies,
  overloadProtection,
  adaptiveConcurrencyPolicies,
  admissionControlPolicies,
  bulkheadPolicies,
  rateLimitPolicies,
  globalRateLimitPolicies,
  sessionPolicies,
  loadReports,
];

/** Those that a chain for one port needs: on, or off until a rule of the service's or the client's namespace turns it on. */
export function portFilters(reader: MeshReader, target: PolicyPort, clientNamespace: string): readonly FilterConfig[] {
  return policyFilters.flatMap((filter) => {
    const settings = filter.forPort(reader, target);
    if (settings !== undefined) return inChain(reader, filter, settings);
    return isForSomeRule(reader, filter, target, clientNamespace) ? inChain(reader, filter, undefined) : [];
  });
}

/** All that clients have, off until a virtual host or a rule turns one on: for chains of many services. */
export function dormantFilters(reader: MeshReader): readonly FilterConfig[] {
  return policyFilters
    .filter(({ inboundOnly }) => inboundOnly !== true)
    .flatMap((filter) => inChain(reader, filter, undefined));
}

/** What a virtual host of one service says to the dormant ones. */
export function hostOverrides(reader: MeshReader, target: PolicyPort): readonly FilterOverride[] {
  return policyFilters.flatMap((filter) =>
    inScope(filter, filter.forHost === undefined ? filter.forPort(reader, target) : filter.forHost(reader, target)),
  );
}

/** What one rule says. */
export function ruleOverrides(reader: MeshReader, target: PolicyRule): readonly FilterOverride[] {
  return policyFilters.flatMap((filter) => inScope(filter, filter.forRule(reader, target)));
}

/** Routes of other namespaces are for their own clients alone (GEP-1294). */
function isForSomeRule(reader: MeshReader, filter: PolicyFilter, target: PolicyPort, clientNamespace: string): boolean {
  const isHere = ({ metadata: { namespace } }: RouteResource): boolean =>
    target.service.startsWith(`${namespace}/`) || (target.direction === "outbound" && namespace === clientNamespace);
  return (reader.get("routes", target.service) ?? []).filter(isHere).some((route) =>
    rulesOf(route)
      .flatMap(partsOf)
      .some(({ rule }) => filter.forRule(reader, { ...target, route, rule }) !== undefined),
  );
}

/** The rules of a route; one that takes everything where it has none. */
export function rulesOf(route: RouteResource): readonly PolicyRule["rule"][] {
  return route.spec.rules ?? [{}];
}

function inChain(
  reader: MeshReader,
  { name, settings }: PolicyFilter,
  own: FilterSettings | undefined,
): readonly FilterConfig[] {
  const used = own ?? (typeof settings === "function" ? settings(reader) : settings);
  return used === undefined ? [] : [{ name, ...used, disabled: own === undefined, isOptional: true }];
}

function inScope({ name }: PolicyFilter, own: FilterSettings | undefined): readonly FilterOverride[] {
  return own === undefined ? [] : [{ filter: name, ...own, disabled: false }];
}
