// The mesh at one moment: immutable, indexed for translation, and sharing with the moment before whatever did not change.
import { createHash } from "node:crypto";
import type { FallbackPolicy } from "#config/schema/fallback-policy.ts";
import type { FaultPolicy } from "#config/schema/fault-policy.ts";
import type { GRPCRoute } from "#config/schema/grpc-route.ts";
import type { HTTPRoute } from "#config/schema/http-route.ts";
import type { Resource } from "#config/schema/kinds.ts";
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";
import type { PeerAuthentication } from "#config/schema/peer-authentication.ts";
import { byName, byPrecedence } from "#config/schema/precedence.ts";
import { grantSourceOf, isTargetPermitted, type GrantSource } from "#config/schema/policy-grants.ts";
import type { RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import type { ReferenceGrant } from "#config/schema/reference-grant.ts";
import type { ServiceSubset } from "#config/schema/service-subset.ts";
import type { Telemetry } from "#config/schema/telemetry.ts";
import type { TrafficPolicy } from "#config/schema/traffic-policy.ts";
import { serviceKey, type RegistryService, type RegistryWorkload } from "../registry/registry.ts";
import { ownersOfClaimed } from "./address-owners.ts";
import { inTrustDomain } from "./mesh-config.ts";
import { groupPods } from "./pod-groups.ts";
import { makeWorkload, type Membership, type Workload } from "./workload.ts";

export type RouteResource = HTTPRoute | GRPCRoute;

/** Everything a translation may look at, by key. Reads are recorded (derivation.ts), so each table must share what is equal. */
export interface MeshTables {
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, RegistryService>;
  /** By node id. */
  readonly workloads: ReadonlyMap<string, Workload>;
  /** By `namespace/name`. */
  readonly subsets: ReadonlyMap<string, ServiceSubset>;
  /** Routes whose parent is the service `namespace/name`, the oldest first. */
  readonly routes: ReadonlyMap<string, readonly RouteResource[]>;
  /** By the namespace that they are in, which is the one that they open. */
  readonly referenceGrants: ReadonlyMap<string, readonly ReferenceGrant[]>;
  /** Policies by what they target: `targetKey`. */
  readonly trafficPolicies: ReadonlyMap<string, readonly TrafficPolicy[]>;
  readonly rateLimits: ReadonlyMap<string, readonly RateLimitPolicy[]>;
  readonly fallbacks: ReadonlyMap<string, readonly FallbackPolicy[]>;
  readonly faults: ReadonlyMap<string, readonly FaultPolicy[]>;
  readonly peerAuthentications: ReadonlyMap<string, readonly PeerAuthentication[]>;
  readonly telemetries: ReadonlyMap<string, readonly Telemetry[]>;
  /** The one MeshConfig, under "mesh"; absent: defaults. */
  readonly meshConfig: ReadonlyMap<string, MeshConfigSpec>;
  /** The keys of `services`, sorted, under "services"; of those with hosts of their own and no address under "hosted". */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** Which services an instance belongs to, by `namespace/endpoint name`. */
  readonly memberships: ReadonlyMap<string, readonly Membership[]>;
  /** Whose an address and port is that several namespaces name (address-owners.ts). */
  readonly addressOwners: ReadonlyMap<string, string>;
  /** Captured workloads of one service account, in groups (pod-groups.ts). */
  readonly podGroups: ReadonlyMap<string, readonly Workload[]>;
}

export interface MeshSnapshot {
  /** `<sequence>-<content hash>`: counts up within one control plane, and tells equal content apart from different. */
  readonly version: string;
  readonly sequence: number;
  readonly hash: string;
  readonly tables: MeshTables;
  /** Every policy document that is in force. */
  readonly resources: readonly Resource[];
  readonly instances: ReadonlyMap<string, RegistryWorkload>;
}

export interface MeshInput {
  readonly services: ReadonlyMap<string, RegistryService>;
  /** Instances that their registry tells of by themselves, by node id. */
  readonly workloads: ReadonlyMap<string, RegistryWorkload>;
  /** Documents in force; ServiceEntries among them are left to the registry. */
  readonly resources: readonly Resource[];
  /** Holds over the MeshConfig's. */
  readonly trustDomain?: string | undefined;
}

/** The key of what a policy targets: a ServiceEntry and a Service of one name are the same; `Namespace` is a whole namespace. */
export function targetKey(kind: string, namespace: string, name: string): string {
  return `${kind === "ServiceEntry" ? "Service" : kind}/${namespace}/${name}`;
}

/** Makes the next snapshot; the previous one itself when nothing differs. */
export function makeSnapshot(input: MeshInput, previous: MeshSnapshot | undefined): MeshSnapshot {
  const resources = input.resources.filter((resource) => resource.kind !== "ServiceEntry");
  const hash = hashContent(input, resources);
  if (previous?.hash === hash) return previous;
  const memberships = shareLists(previous?.tables.memberships, collectMemberships(input.services), isSameMembership);
  const before = previous?.tables;
  const workloads = makeWorkloads(memberships, input.workloads, previous);
  const sequence = (previous?.sequence ?? 0) + 1;
  const policies = indexResources(resources);
  return {
    version: `${sequence}-${hash.slice(0, 12)}`,
    sequence,
    hash,
    resources,
    instances: input.workloads,
    tables: {
      services: input.services,
      workloads,
      podGroups: shareLists(before?.podGroups, groupPods(workloads)),
      subsets: policies.subsets,
      routes: shareLists(before?.routes, policies.routes),
      referenceGrants: shareLists(before?.referenceGrants, policies.referenceGrants),
      trafficPolicies: shareLists(before?.trafficPolicies, policies.trafficPolicies),
      rateLimits: shareLists(before?.rateLimits, policies.rateLimits),
      fallbacks: shareLists(before?.fallbacks, policies.fallbacks),
      faults: shareLists(before?.faults, policies.faults),
      peerAuthentications: shareLists(before?.peerAuthentications, policies.peerAuthentications),
      telemetries: shareLists(before?.telemetries, policies.telemetries),
      meshConfig:
        input.trustDomain === undefined
          ? policies.meshConfig
          : new Map([["mesh", inTrustDomain(policies.meshConfig.get("mesh"), input.trustDomain)]]),
      names: shareLists(before?.names, collectNames(input.services)),
      memberships,
      addressOwners: ownersOfClaimed(input.services, input.workloads),
    },
  };
}

function indexResources(resources: readonly Resource[]) {
  const routes = new Map<string, RouteResource[]>();
  const subsets = new Map<string, ServiceSubset>();
  const referenceGrants = new Map<string, ReferenceGrant[]>();
  const trafficPolicies = new Map<string, TrafficPolicy[]>();
  const rateLimits = new Map<string, RateLimitPolicy[]>();
  const fallbacks = new Map<string, FallbackPolicy[]>();
  const faults = new Map<string, FaultPolicy[]>();
  const peerAuthentications = new Map<string, PeerAuthentication[]>();
  const telemetries = new Map<string, Telemetry[]>();
  const meshConfig = new Map<string, MeshConfigSpec>();
  const source = grantSourceOf(resources);
  for (const resource of resources.toSorted(byPrecedence)) {
    const { namespace, name } = resource.metadata;
    switch (resource.kind) {
      case "HTTPRoute":
      case "GRPCRoute": {
        const parents = (resource.spec.parentRefs ?? []).map(
          (parent) => `${parent.namespace ?? namespace}/${parent.name}`,
        );
        for (const parent of new Set(parents)) put(routes, parent, resource);
        break;
      }
      case "ReferenceGrant":
        put(referenceGrants, namespace, resource);
        break;
      case "ServiceSubset":
        subsets.set(`${namespace}/${name}`, resource);
        break;
      case "TrafficPolicy":
        for (const key of targetsOf(resource, source)) put(trafficPolicies, key, resource);
        break;
      case "RateLimitPolicy":
        for (const key of targetsOf(resource, source)) put(rateLimits, key, resource);
        break;
      case "FallbackPolicy":
        for (const key of targetsOf(resource, source)) put(fallbacks, key, resource);
        break;
      case "FaultPolicy":
        for (const key of targetsOf(resource, source)) put(faults, key, resource);
        break;
      case "PeerAuthentication":
        for (const key of targetsOf(resource, source)) put(peerAuthentications, key, resource);
        break;
      case "Telemetry":
        for (const key of targetsOf(resource, source)) put(telemetries, key, resource);
        break;
      case "MeshConfig":
        meshConfig.set("mesh", resource.spec);
        break;
      case "ServiceEntry":
        break;
    }
  }
  return {
    routes,
    subsets,
    referenceGrants,
    trafficPolicies: ownersFirst(trafficPolicies),
    rateLimits: ownersFirst(rateLimits),
    fallbacks: ownersFirst(fallbacks),
    faults: ownersFirst(faults),
    peerAuthentications,
    telemetries,
    meshConfig,
  };
}

interface TargetRef {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface Targeting {
  readonly kind: string;
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly targetRefs?: readonly TargetRef[] | undefined };
}

/** Without targets a policy is for its whole namespace; what it may not act on is not among its targets. */
function targetsOf(policy: Targeting, source: GrantSource): ReadonlySet<string> {
  const refs = policy.spec.targetRefs ?? [];
  if (refs.length === 0) return new Set([targetKey("Namespace", policy.metadata.namespace, "")]);
  return new Set(refs.filter((ref) => isTargetPermitted(policy, ref, source)).map((ref) => keyOfTarget(policy, ref)));
}

/** The key of one of a policy's targets. */
export function keyOfTarget({ metadata }: Pick<Targeting, "metadata">, ref: TargetRef): string {
  return targetKey(ref.kind, ref.namespace ?? metadata.namespace, ref.name);
}

/** What the owner of a target says of it comes before what others were granted to say. */
function ownersFirst<T extends Targeting>(byTarget: ReadonlyMap<string, T[]>): ReadonlyMap<string, readonly T[]> {
  const sorted = new Map<string, readonly T[]>();
  for (const [key, policies] of byTarget) {
    const [, owner] = key.split("/");
    const isOwn = ({ metadata }: T): boolean => metadata.namespace === owner;
    const strangers = policies.filter((policy) => !isOwn(policy));
    sorted.set(key, strangers.length === 0 ? policies : [...policies.filter(isOwn), ...strangers]);
  }
  return sorted;
}

function collectNames(services: ReadonlyMap<string, RegistryService>): ReadonlyMap<string, readonly string[]> {
  const names = [...services.keys()].sort();
  const hosted = names.filter((key) => {
    const service = services.get(key);
    return service !== undefined && service.hosts.length > 0 && service.addresses.length === 0;
  });
  return new Map([
    ["services", names],
    ["hosted", hosted],
  ]);
}

function collectMemberships(services: ReadonlyMap<string, RegistryService>): Map<string, Membership[]> {
  const memberships = new Map<string, Membership[]>();
  for (const service of services.values())
    for (const endpoint of [...service.endpoints, ...(service.pending ?? [])])
      put(memberships, `${service.namespace}/${endpoint.name}`, { service, endpoint });
  // Not in the order in which this control plane heard of them: another one must come to the same.
  for (const list of memberships.values())
    if (list.length > 1) list.sort((left, right) => (serviceKey(left.service) < serviceKey(right.service) ? -1 : 1));
  return memberships;
}

function makeWorkloads(
  memberships: ReadonlyMap<string, readonly Membership[]>,
  instances: ReadonlyMap<string, RegistryWorkload>,
  previous: MeshSnapshot | undefined,
): ReadonlyMap<string, Workload> {
  const workloads = new Map<string, Workload>();
  for (const id of new Set([...memberships.keys(), ...instances.keys()])) {
    const list = memberships.get(id) ?? none;
    const instance = instances.get(id);
    const isSame =
      previous !== undefined &&
      (previous.tables.memberships.get(id) ?? none) === list &&
      previous.instances.get(id) === instance;
    const workload = isSame ? previous.tables.workloads.get(id) : makeWorkload(list, instance);
    if (workload !== undefined) workloads.set(id, workload);
  }
  return workloads;
}

const none: readonly Membership[] = [];

function isSameMembership(left: Membership, right: Membership): boolean {
  return left.service === right.service && left.endpoint === right.endpoint;
}

/** The old list wherever the new one has the same items. */
function shareLists<T>(
  previous: ReadonlyMap<string, readonly T[]> | undefined,
  next: ReadonlyMap<string, readonly T[]>,
  isSame: (left: T, right: T) => boolean = Object.is,
): ReadonlyMap<string, readonly T[]> {
  if (previous === undefined) return next;
  const shared = new Map<string, readonly T[]>();
  for (const [key, list] of next) {
    const old = previous.get(key);
    const isEqual = old?.length === list.length && list.every((item, index) => isSame(item, old[index] as T)); // same length
    shared.set(key, isEqual && old !== undefined ? old : list);
  }
  return shared;
}

/** Hashes of single objects, so that an unchanged one is never written out again. */
const hashes = new WeakMap<object, string>();

function hashContent({ services, workloads }: MeshInput, resources: readonly Resource[]): string {
  const digest = createHash("sha256");
  for (const key of [...services.keys()].sort()) {
    const service = services.get(key);
    if (service !== undefined) digest.update(hashOf(service, { ...service, origin: "" }));
  }
  for (const id of [...workloads.keys()].sort()) {
    const workload = workloads.get(id);
    if (workload !== undefined) digest.update(hashOf(workload, workload));
  }
  for (const resource of resources.toSorted(byName)) {
    const { kind, metadata, spec } = resource;
    digest.update(hashOf(resource, { kind, metadata, spec }));
  }
  return digest.digest("hex");
}

function hashOf(identity: object, content: object): string {
  let hash = hashes.get(identity);
  if (hash === undefined) {
    hash = createHash("sha256").update(JSON.stringify(content)).digest("hex");
    hashes.set(identity, hash);
  }
  return hash;
}

function put<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}
