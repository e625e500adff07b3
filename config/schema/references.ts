// Checks what several resources must agree on: what is referred to exists, what must be single is not there twice.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import { protocolOfPort } from "#config/model/port-protocol.ts";
import type { FallbackPolicy } from "./fallback-policy.ts";
import { gatewayGroup, heddleGroup } from "./kind.ts";
import { resourceName, type Resource } from "./kinds.ts";
import { findNoEffect } from "./no-effect.ts";
import { findNoEffectInMesh, type MeshView } from "./no-effect-in-mesh.ts";
import { findPolicyConflicts } from "./policy-conflicts.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { isTargetPermitted, notPermitted, type GrantSource, type PolicyHead } from "./policy-grants.ts";
import type { PolicyTarget } from "./policy-targets.ts";
import { grantable, isGranted, type ReferenceGrant } from "./reference-grant.ts";
import type { RateLimitPolicy } from "./rate-limit-policy.ts";
import type { ServiceEntry } from "./service-entry.ts";
import type { ServiceSubset } from "./service-subset.ts";
import { findTakenPorts } from "./taken-ports.ts";
import { suggest } from "./suggest.ts";

/** Errors and warnings that no single document shows. A dangling reference is a warning: the object may come later. */
export function checkReferences(resources: readonly Resource[]): ConfigError[] {
  const index = new ResourceIndex(resources);
  const mesh: MeshView = {
    grants: index,
    portsOf: (key) =>
      index.services
        .get(key)
        ?.spec.ports.map((port) => ({ name: port.name, isOpaque: protocolOfPort(port) === "TCP" })),
    routeOf: (kind, key) => {
      const route = index.routes.get(`${kind} ${key}`);
      return route?.kind === "HTTPRoute" || route?.kind === "GRPCRoute" ? route : undefined;
    },
    tenants: resources.find((resource) => resource.kind === "MeshConfig")?.spec.tenants,
  };
  return [
    ...findDuplicates(resources),
    ...findTakenPorts(resources),
    ...findPolicyConflicts(resources),
    ...resources.flatMap((resource) => [
      ...checkOne(resource, index),
      ...findNoEffect(resource),
      ...findNoEffectInMesh(resource, mesh),
    ]),
  ];
}

/** Finds the first of two resources of the same kind, namespace and name. */
function findDuplicates(resources: readonly Resource[]): ConfigError[] {
  const first = new Map<string, Resource>();
  const problems: ConfigError[] = [];
  for (const resource of resources) {
    const name = resourceName(resource);
    const earlier = first.get(name);
    if (earlier === undefined) {
      first.set(name, resource);
      continue;
    }
    const { file, line } = earlier.source;
    const message = `Cannot use ${name}: it is defined already at ${line === 0 ? file : `${file}:${line}`}`;
    problems.push(
      problemAt(resource.source, ["metadata", "name"], {
        code: "HDL_CONFIG_DUPLICATE_RESOURCE",
        message,
        hint: "rename or remove one of the two",
      }),
    );
  }
  return problems;
}

class ResourceIndex implements GrantSource {
  readonly services = new Map<string, ServiceEntry>();
  readonly subsets = new Map<string, ServiceSubset>();
  readonly routes = new Map<string, Resource>();
  /** By their namespaces. */
  readonly grants = new Map<string, ReferenceGrant[]>();

  hasRateLimitService = false;

  constructor(resources: readonly Resource[]) {
    for (const resource of resources) {
      const key = `${resource.metadata.namespace}/${resource.metadata.name}`;
      if (resource.kind === "ServiceEntry") this.services.set(key, resource);
      else if (resource.kind === "ServiceSubset") this.subsets.set(key, resource);
      else if (resource.kind === "HTTPRoute" || resource.kind === "GRPCRoute")
        this.routes.set(`${resource.kind} ${key}`, resource);
      else if (resource.kind === "MeshConfig")
        this.hasRateLimitService ||= resource.spec.rateLimitService !== undefined;
      else if (resource.kind === "ReferenceGrant") {
        const { namespace } = resource.metadata;
        this.grants.set(namespace, [...(this.grants.get(namespace) ?? []), resource]);
      }
    }
  }

  grantsIn(namespace: string): readonly ReferenceGrant[] {
    return this.grants.get(namespace) ?? [];
  }

  serviceOfSubset(key: string): string | undefined {
    return this.subsets.get(key)?.spec.service;
  }

  /** Names of the services of one namespace. */
  serviceNames(namespace: string): string[] {
    return [...this.services.values()]
      .filter(({ metadata }) => metadata.namespace === namespace)
      .map(({ metadata }) => metadata.name);
  }
}

/** Collects the warnings of one resource. */
class Reporter {
  readonly problems: ConfigError[] = [];
  readonly #resource: Resource;

  constructor(resource: Resource) {
    this.#resource = resource;
  }

  warn(path: JsonPath, found: string, hint?: string): void {
    const message = `${resourceName(this.#resource)} is accepted, but ${found}`;
    const details = { code: "HDL_CONFIG_UNRESOLVED", severity: "warning", message } as const;
    this.problems.push(problemAt(this.#resource.source, path, hint === undefined ? details : { ...details, hint }));
  }
}

function checkOne(resource: Resource, index: ResourceIndex): readonly ConfigError[] {
  const report = new Reporter(resource);
  switch (resource.kind) {
    case "HTTPRoute":
    case "GRPCRoute":
      checkRoute(resource, index, report);
      break;
    case "TrafficPolicy":
    case "RateLimitPolicy":
    case "FallbackPolicy":
    case "FaultPolicy":
    case "PeerAuthentication":
    case "Telemetry":
      for (const [at, target] of (resource.spec.targetRefs ?? []).entries())
        checkTarget(target, resource, ["spec", "targetRefs", at], index, report);
      if (resource.kind === "FallbackPolicy") checkFallback(resource, index, report);
      if (resource.kind === "RateLimitPolicy") checkGlobalLimits(resource, index, report);
      break;
    case "ServiceSubset":
      checkSubset(resource, index, report);
      break;
    case "ServiceEntry":
      checkServiceEntry(resource, index, report);
      break;
    case "MeshConfig":
      checkRateLimitService(resource, index, report);
      break;
    case "ReferenceGrant":
      break;
  }
  return report.problems;
}

function checkFallback({ kind, metadata, spec }: FallbackPolicy, index: ResourceIndex, report: Reporter): void {
  const { namespace } = metadata;
  const ref = spec.service?.backendRef;
  if (ref === undefined) return;
  const path = ["spec", "service", "backendRef"];
  if (isPermitted(ref, { kind, metadata, spec: { parentRefs: spec.targetRefs } }, index))
    checkBackend(ref, namespace, path, index, report, "it is not asked");
  else
    report.warn(
      [...path, "namespace"],
      `no ReferenceGrant in "${ref.namespace}" lets it refer to ${ref.kind} "${ref.name}" there: it is not asked`,
      `write a ReferenceGrant in ${ref.namespace}, from ${kind} of ${namespace}`,
    );
}

function checkGlobalLimits({ spec }: RateLimitPolicy, index: ResourceIndex, report: Reporter): void {
  if (spec.global === undefined || index.hasRateLimitService) return;
  report.warn(["spec", "global"], "there is no service to ask", "write spec.rateLimitService in MeshConfig");
}

function checkRateLimitService({ spec }: MeshConfig, index: ResourceIndex, report: Reporter): void {
  const service = spec.rateLimitService;
  if (service === undefined) return;
  const name = `${service.namespace}/${service.name}`;
  const found = index.services.get(name);
  if (found === undefined) report.warn(["spec", "rateLimitService", "name"], `there is no service "${name}"`);
  else checkPort(found, service.port, ["spec", "rateLimitService", "port"], report);
}

interface ObjectRef {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly port?: number;
  readonly sectionName?: string;
}

/** The fields of both kinds of route that refer to something. */
interface RouteSpec {
  readonly parentRefs?: readonly ObjectRef[];
  readonly rules?: readonly {
    readonly backendRefs?: readonly (ObjectRef & Filtering)[];
    readonly filters?: Filtering["filters"];
  }[];
}

interface Filtering {
  readonly filters?: undefined | readonly { readonly requestMirror?: { readonly backendRef: ObjectRef } }[];
}

interface RouteHead {
  readonly kind: string;
  readonly metadata: { readonly namespace: string };
  readonly spec: RouteSpec;
}

const ANSWERED_500 = "requests there are answered 500";
const NOT_MIRRORED = "nothing is mirrored there";

function checkRoute(route: RouteHead, index: ResourceIndex, report: Reporter): void {
  const { namespace } = route.metadata;
  const { parentRefs = [], rules = [] } = route.spec;
  const check = (ref: ObjectRef, path: JsonPath, consequence = ANSWERED_500): void => {
    if (isPermitted(ref, route, index)) checkBackend(ref, namespace, path, index, report, consequence);
    else
      report.warn(
        [...path, "namespace"],
        `no ReferenceGrant in "${ref.namespace}" lets it refer to ${ref.kind} "${ref.name}" there: ${consequence}`,
        `write a ReferenceGrant in ${ref.namespace}, from ${route.kind} of ${namespace}`,
      );
  };
  for (const [at, parent] of parentRefs.entries()) {
    const path = ["spec", "parentRefs", at];
    if (isService(parent)) checkService(parent, namespace, path, index, report);
  }
  for (const [at, rule] of rules.entries()) {
    const checkMirrors = ({ filters = [] }: Filtering, path: JsonPath): void => {
      for (const [filterAt, { requestMirror }] of filters.entries())
        if (requestMirror !== undefined)
          check(requestMirror.backendRef, [...path, "filters", filterAt, "requestMirror", "backendRef"], NOT_MIRRORED);
    };
    checkMirrors(rule, ["spec", "rules", at]);
    for (const [backendAt, backend] of (rule.backendRefs ?? []).entries()) {
      const path = ["spec", "rules", at, "backendRefs", backendAt];
      check(backend, path);
      checkMirrors(backend, path);
    }
  }
}

/** As the control plane sees it (translate/gateway-api/backends.ts): for one parent at least. */
function isPermitted(ref: ObjectRef, { kind, metadata, spec }: RouteHead, index: ResourceIndex): boolean {
  const { namespace: routeNamespace } = metadata;
  const namespace = ref.namespace ?? routeNamespace;
  if (namespace === routeNamespace) return true;
  const service = index.subsets.get(`${namespace}/${ref.name}`)?.spec.service;
  const named = ref.kind === "ServiceSubset" ? (service ?? "") : ref.name;
  const isParent = spec.parentRefs?.some(
    (parent) => isService(parent) && parent.name === named && (parent.namespace ?? routeNamespace) === namespace,
  );
  const to = grantable(ref.group, ref.kind, ref.name, named);
  const from = { group: kind === "FallbackPolicy" ? heddleGroup : gatewayGroup, kind, namespace: routeNamespace };
  return isParent === true || isGranted(index.grantsIn(namespace), { from, to });
}

function checkBackend(
  backend: ObjectRef,
  namespace: string,
  path: JsonPath,
  index: ResourceIndex,
  report: Reporter,
  consequence = ANSWERED_500,
): void {
  if (isService(backend)) {
    checkService(backend, namespace, path, index, report);
    return;
  }
  if (backend.group !== heddleGroup || backend.kind !== "ServiceSubset") {
    report.warn(
      [...path, "kind"],
      `${backend.kind} of group ${JSON.stringify(backend.group)} is no backend: ${consequence}`,
      "backends are Service, ServiceEntry and ServiceSubset",
    );
    return;
  }
  const home = backend.namespace ?? namespace;
  const subset = index.subsets.get(`${home}/${backend.name}`);
  if (subset === undefined) {
    const names = [...index.subsets.values()]
      .filter(({ metadata }) => metadata.namespace === home)
      .map(({ metadata }) => metadata.name);
    report.warn(
      [...path, "name"],
      `there is no ServiceSubset "${home}/${backend.name}": ${consequence}`,
      didYouMean(backend.name, names),
    );
    return;
  }
  if (backend.port === undefined) return;
  const service = index.services.get(`${home}/${subset.spec.service}`);
  if (service !== undefined) checkPort(service, backend.port, [...path, "port"], report);
}

/** A reference to a Service: of Kubernetes, or a ServiceEntry, which stands for one. */
function isService({ group, kind }: ObjectRef | PolicyTarget): boolean {
  return (group === "" && kind === "Service") || (group === heddleGroup && kind === "ServiceEntry");
}

function checkService(ref: ObjectRef, namespace: string, path: JsonPath, index: ResourceIndex, report: Reporter): void {
  const home = ref.namespace ?? namespace;
  const service = index.services.get(`${home}/${ref.name}`);
  if (service === undefined)
    report.warn(
      [...path, "name"],
      `there is no service "${home}/${ref.name}"`,
      didYouMean(ref.name, index.serviceNames(home)),
    );
  else if (ref.port !== undefined) checkPort(service, ref.port, [...path, "port"], report);
  else if (ref.sectionName !== undefined) checkPort(service, ref.sectionName, [...path, "sectionName"], report);
}

function checkPort(service: ServiceEntry, port: number | string, path: JsonPath, report: Reporter): void {
  const { ports } = service.spec;
  if (ports.some((known) => (typeof port === "number" ? known.port === port : known.name === port))) return;
  const listed = ports.map((known) => `${known.port} (${known.name})`).join(", ");
  report.warn(path, `${resourceName(service)} has no port ${JSON.stringify(port)}`, `its ports: ${listed}`);
}

function checkTarget(
  target: PolicyTarget,
  policy: PolicyHead,
  path: JsonPath,
  index: ResourceIndex,
  report: Reporter,
): void {
  const { namespace = policy.metadata.namespace } = target;
  if (!isTargetPermitted(policy, target, index)) {
    const hint = `write a ReferenceGrant in ${namespace}, from ${policy.kind} of group ${heddleGroup} and namespace ${policy.metadata.namespace}`;
    report.warn([...path, "namespace"], `${notPermitted(policy, target)}: it has no effect there`, hint);
    return;
  }
  if (isService(target)) {
    checkService(target, namespace, path, index, report);
    return;
  }
  const key = `${namespace}/${target.name}`;
  if (target.kind === "ServiceSubset") {
    if (!index.subsets.has(key)) report.warn([...path, "name"], `there is no ServiceSubset "${key}"`);
    else if (target.sectionName !== undefined)
      report.warn([...path, "sectionName"], `ServiceSubset "${key}" has no part called "${target.sectionName}"`);
    return;
  }
  const route = target.group === gatewayGroup ? index.routes.get(`${target.kind} ${key}`) : undefined;
  if (route === undefined) {
    report.warn([...path, "name"], `there is no ${target.kind} "${key}"`);
    return;
  }
  if (target.sectionName === undefined || (route.kind !== "HTTPRoute" && route.kind !== "GRPCRoute")) return;
  const names = (route.spec.rules ?? []).flatMap(({ name }) => name ?? []);
  if (!names.includes(target.sectionName))
    report.warn(
      [...path, "sectionName"],
      `${resourceName(route)} has no rule called ${JSON.stringify(target.sectionName)}`,
      didYouMean(target.sectionName, names),
    );
}

function checkSubset(subset: ServiceSubset, index: ResourceIndex, report: Reporter): void {
  const { namespace } = subset.metadata;
  const { service: name, labels } = subset.spec;
  const service = index.services.get(`${namespace}/${name}`);
  if (service === undefined) {
    report.warn(
      ["spec", "service"],
      `there is no service "${namespace}/${name}"`,
      didYouMean(name, index.serviceNames(namespace)),
    );
    return;
  }
  const hasMember = service.spec.endpoints.some((endpoint) =>
    Object.entries(labels).every(([key, value]) => endpoint.labels[key] === value),
  );
  if (!hasMember) report.warn(["spec", "labels"], `no endpoint of ${resourceName(service)} has these labels`);
}

function checkServiceEntry(entry: ServiceEntry, index: ResourceIndex, report: Reporter): void {
  const { namespace } = entry.metadata;
  for (const [at, { sidecar }] of entry.spec.endpoints.entries()) {
    for (const name of Object.keys(sidecar?.inbound ?? {}))
      checkTcp(entry, name, ["spec", "endpoints", at, "sidecar", "inbound", name], report);
    for (const [outboundAt, { service: ref, port }] of (sidecar?.outbound ?? []).entries()) {
      const path = ["spec", "endpoints", at, "sidecar", "outbound", outboundAt];
      const key = ref.includes("/") ? ref : `${namespace}/${ref}`;
      const service = index.services.get(key);
      if (service === undefined)
        report.warn(
          [...path, "service"],
          `there is no service "${key}"`,
          didYouMean(ref, index.serviceNames(namespace)),
        );
      else {
        checkPort(service, port, [...path, "port"], report);
        checkTcp(service, port, [...path, "port"], report);
      }
    }
  }
}

/** Listeners of sidecars are of TCP. */
function checkTcp(service: ServiceEntry, port: number | string, path: JsonPath, report: Reporter): void {
  const named = service.spec.ports.find((known) =>
    typeof port === "number" ? known.port === port : known.name === port,
  );
  if (named !== undefined && protocolOfPort(named) === "UDP")
    report.warn(
      path,
      `port "${named.name}" is one of UDP: the mesh leaves it alone, and no listener of a sidecar serves it`,
    );
}

function didYouMean(word: string, candidates: readonly string[]): string | undefined {
  const near = suggest(word, candidates);
  return near === undefined ? undefined : `did you mean "${near}"?`;
}
