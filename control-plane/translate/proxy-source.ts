// Gives each proxy its resources: looks only at the services that the proxy uses, and keeps what did not change.
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import type { LocalityPolicy } from "#config/schema/traffic/load-balancing.ts";
import type { Watched } from "#lib/watched.ts";
import { Derivation, type MeshReader } from "../mesh/derivation.ts";
import type { Dialect, ProxyResources, ResourceSource } from "../mesh/resources.ts";
import type { MeshSnapshot } from "../mesh/snapshot.ts";
import type { MeshStore } from "../mesh/store.ts";
import type { Workload } from "../mesh/workload.ts";
import type { Capture } from "../registry/registry.ts";
import { clusterOf, meshRoots } from "./cluster.ts";
import { assignmentOf } from "./endpoints.ts";
import { localityOf, localityPolicyOf, usesLocality, type Locality } from "./locality.ts";
import { grpcListeners } from "./grpc-client.ts";
import {
  httpProxyTable,
  onDemandTable,
  ownersByHost,
  proxyHost,
  type BuiltHost,
  type HostOwner,
} from "./http-proxy.ts";
import { capturedInbound, capturedPorts, inboundCaptureListener } from "./captured-inbound.ts";
import { instancesListener, serviceListener } from "./captured-outbound.ts";
import { podsCluster, podsListeners, type BuiltPods } from "./captured-pods.ts";
import { captureAddresses, captureListener, unknownHostsTable, type BuiltCapture } from "./captured-unknown.ts";
import { inboundListener, type BuiltInbound } from "./inbound.ts";
import { podsName, unknownHostsName } from "./names.ts";
import { clientOf, type Client } from "./outbound-chains.ts";
import { outboundListener, outboundTable, proxyListener, type BuiltListener, type BuiltTable } from "./outbound.ts";
import { findPort, meshConfigIn, wholeBackend, type Backend, type Scope } from "./scope.ts";

/** How many versions of the mesh a value is kept for that no proxy asks for any more. */
const keepVersions = 64;

/** By whose address the connection was going to. */
const capturedListeners = [
  ["service", serviceListener],
  ["instances", instancesListener],
] as const;

class Collector implements Collected {
  readonly listeners = new Map<string, Listener>();
  readonly routes = new Map<string, RouteTable>();
  readonly virtualHosts = new Map<string, VirtualHost>();
  readonly clusters = new Map<string, Cluster>();
  readonly endpoints = new Map<string, ClusterLoadAssignment>();

  addAll({ listeners, routes, clusters, endpoints }: Collected): void {
    for (const [name, listener] of listeners) this.listeners.set(name, listener);
    for (const [name, table] of routes) this.routes.set(name, table);
    for (const [name, cluster] of clusters) this.clusters.set(name, cluster);
    for (const [name, assignment] of endpoints) this.endpoints.set(name, assignment);
  }
}

type Collected = Pick<ProxyResources, "listeners" | "routes" | "clusters" | "endpoints">;

interface Target {
  readonly snapshot: MeshSnapshot;
  readonly dialect: Dialect;
  readonly clientNamespace: string;
  /** Where the client is; it counts only for backends with a policy that looks at it. */
  readonly locality: Locality;
  /** Virtual hosts come when they are asked for: these are. undefined: the proxy does not know how to ask. */
  readonly asked: ReadonlySet<string> | undefined;
}

interface Known {
  readonly resources: ProxyResources;
  readonly asked: readonly string[];
}

const nothing: ReadonlySet<string> = new Set();

export class ProxySource implements ResourceSource {
  readonly #store: MeshStore;
  readonly #listeners = new Derivation<BuiltListener>();
  readonly #inbounds = new Derivation<BuiltInbound>();
  readonly #tables = new Derivation<BuiltTable>();
  readonly #clusters = new Derivation<Cluster | undefined>();
  readonly #endpoints = new Derivation<ClusterLoadAssignment>();
  readonly #localities = new Derivation<LocalityPolicy | undefined>();
  readonly #owners = new Derivation<ReadonlyMap<string, HostOwner>>();
  readonly #hosts = new Derivation<BuiltHost | undefined>();
  readonly #captures = new Derivation<BuiltCapture>();
  readonly #inboundCaptures = new Derivation<readonly BuiltInbound[]>();
  readonly #services = new Derivation<BuiltListener | undefined>();
  readonly #pods = new Derivation<BuiltPods | undefined>();
  /** What all clients of a kind are given, at one version of the mesh. */
  readonly #captured = new Map<string, { readonly version: string; readonly collector: Collector }>();
  readonly #proxies = new Map<string, Known>();
  /** Whether any policy looks at where clients are, at one version of the mesh. */
  #locality: { readonly version: string; readonly isUsed: boolean } | undefined;
  #prunedAt = 0;

  readonly #roots: Watched<string | undefined> | undefined;
  #secrets: ProxyResources["secrets"] = new Map();

  /** `roots`: the bundle of the mesh's authority, which proxies follow by SDS; undefined: there is none. */
  constructor(store: MeshStore, roots?: Watched<string | undefined>) {
    this.#store = store;
    this.#roots = roots;
    roots?.subscribe((bundlePem) => {
      if (bundlePem === undefined) return;
      this.#secrets = new Map([[meshRoots, { kind: "validation", name: meshRoots, bundlePem }]]);
    });
  }

  subscribe(listener: () => void): () => void {
    const stops = [this.#store.subscribe(listener), this.#roots?.subscribe(listener)];
    return () => {
      for (const stop of stops) stop?.();
    };
  }

  /** How many parts have been translated so far; for metrics, and for tests of what is not translated again. */
  get translatedCount(): number {
    return this.#derivations.reduce((sum, kind) => sum + kind.madeCount, 0);
  }

  resourcesFor(node: NodeInfo, dialect: Dialect, asked = nothing): ProxyResources | undefined {
    const snapshot = this.#store.current;
    if (snapshot === undefined) return undefined;
    this.#prune(snapshot.sequence);
    const canAsk = dialect === "heddle" && asksForHosts(node);
    const key = `${dialect} ${canAsk ? "on-demand " : ""}${node.id}`;
    const known = this.#proxies.get(key);
    if (
      known?.resources.version === snapshot.version &&
      known.resources.secrets === this.#secrets &&
      isSame(known.asked, asked)
    )
      return known.resources;
    const workload = snapshot.tables.workloads.get(node.id);
    const target: Target = {
      snapshot,
      dialect,
      clientNamespace: workload?.namespace ?? namespaceOf(node),
      locality: localityOf(node, workload),
      asked: canAsk ? asked : undefined,
    };
    const collector = new Collector();
    if (dialect === "grpc") this.#collectGrpc(target, collector);
    else if (workload === undefined || !isAccountOf(node, workload)) return undefined;
    else this.#collectSidecar(target, workload, collector);
    const resources = shareMaps(known?.resources, collector, this.#secrets, snapshot.version);
    this.#proxies.set(key, { resources, asked: [...asked] });
    return resources;
  }

  refusalOf(node: NodeInfo): string | undefined {
    const workload = this.#store.current?.tables.workloads.get(node.id);
    if (workload === undefined || isAccountOf(node, workload)) return undefined;
    const told = JSON.stringify(node.metadata["serviceAccount"]);
    return `it says that its service account is ${told}, but that of workload "${workload.id}" is "${workload.serviceAccount}"`;
  }

  #collectSidecar(target: Target, workload: Workload, collector: Collector): void {
    const { snapshot, dialect } = target;
    const limits = meshConfigIn(snapshot).rateLimitService;
    if (limits !== undefined)
      this.#addBackend(target, wholeBackend(`${limits.namespace}/${limits.name}`, limits.port), collector);
    if (workload.capture !== undefined) this.#collectCaptured(target, workload, workload.capture, collector);
    for (const outbound of workload.outbound) {
      const key = `${dialect} ${workload.id} ${outbound.service}/${outbound.port}@${outbound.listen}`;
      const built = this.#listeners.get(key, snapshot, (reader) =>
        outboundListener(scopeOf(target, reader), withReads(reader, workload), outbound),
      );
      this.#addListener(target, built, collector);
      if (built.table !== undefined)
        this.#addTable(target, built.table, collector, (scope) =>
          outboundTable(scope, outbound.service, outbound.port),
        );
    }
    const proxyPort = workload.httpProxyPort;
    if (proxyPort !== undefined) {
      const built = this.#listeners.get(`${dialect} ${workload.id} http-proxy`, snapshot, (reader) =>
        proxyListener(scopeOf(target, reader), withReads(reader, workload), proxyPort),
      );
      this.#addListener(target, built, collector);
      if (target.asked !== undefined) this.#addHosts(target, target.asked, collector);
      else if (built.table !== undefined) this.#addTable(target, built.table, collector, httpProxyTable);
    }
    for (const port of workload.capture === undefined ? workload.inbound : []) {
      const { meshPort } = port;
      if (meshPort === undefined) continue;
      const key = `${dialect} ${workload.id} ${port.service}/${port.port.port}`;
      const built = this.#inbounds.get(key, snapshot, (reader) =>
        inboundListener(scopeOf(target, reader), withReads(reader, workload), port, meshPort),
      );
      addInbound(built, collector);
    }
  }

  #collectCaptured(target: Target, workload: Workload, capture: Capture, collector: Collector): void {
    const { snapshot, dialect } = target;
    const client = clientOf(workload, capture.outboundPort);
    for (const loopback of captureAddresses(workload)) {
      const built = this.#captures.get(`${dialect} ${workload.id} ${loopback}`, snapshot, (reader) =>
        captureListener(scopeOf(target, reader), client, withReads(reader, workload), capture, loopback),
      );
      collector.listeners.set(built.listener.name, built.listener);
      for (const cluster of built.clusters) collector.clusters.set(cluster.name, cluster);
      for (const backend of built.backends) this.#addBackend(target, backend, collector);
      for (const port of built.ports)
        this.#addTable(target, unknownHostsName(port), collector, (scope) => unknownHostsTable(scope, port));
    }
    this.#collectServices(target, client, collector);
    const inbound = this.#inboundCaptures.get(`${dialect} ${workload.id}`, snapshot, (reader) => {
      const scope = scopeOf(target, reader);
      const known = withReads(reader, workload);
      const ports = capturedPorts(scope, known, capture).map((port) => capturedInbound(scope, known, port));
      return [...ports, inboundCaptureListener(scope, known, capture)];
    });
    for (const built of inbound) addInbound(built, collector);
  }

  /** Everything that a captured connection may be going to; equal clients share it. */
  #collectServices(target: Target, client: Client, collector: Collector): void {
    const { snapshot, dialect } = target;
    const shared = sharedClient(snapshot, client);
    const key = `${dialect} ${shared.id} ${shared.namespace} ${shared.serviceAccount} ${shared.owner} ${shared.listen}`;
    const { region, zone } = target.locality;
    const place = this.#seesLocality(snapshot) ? `${key} from ${region}/${zone}` : key;
    let known = this.#captured.get(place);
    if (known?.version !== snapshot.version) {
      const made = new Collector();
      for (const [name, service] of snapshot.tables.services)
        for (const { port } of service.ports)
          for (const [kind, make] of capturedListeners) {
            const built = this.#services.get(`${key} ${kind} ${name}/${port}`, snapshot, (reader) => {
              const scope = scopeOf(target, reader);
              const current = reader.get("services", name);
              const found = findPort(current, port);
              return current && found && make(scope, shared, current, found);
            });
            if (built === undefined) continue;
            this.#addListener(target, built, made);
            const { table } = built;
            if (table !== undefined) this.#addTable(target, table, made, (scope) => outboundTable(scope, name, port));
          }
      for (const group of snapshot.tables.podGroups.keys()) {
        const built = this.#pods.get(`${key} ${group}`, snapshot, (reader) =>
          podsListeners(scopeOf(target, reader), shared, group),
        );
        if (built === undefined) continue;
        for (const listener of built.listeners) made.listeners.set(listener.name, listener);
        const name = podsName(built.owner);
        const cluster = this.#clusters.get(`${dialect} ${name}`, snapshot, (reader) =>
          podsCluster(scopeOf(target, reader), built.owner),
        );
        for (const one of [cluster, built.collector]) if (one !== undefined) made.clusters.set(one.name, one);
      }
      this.#captured.set(place, (known = { version: snapshot.version, collector: made }));
    }
    collector.addAll(known.collector);
  }

  #seesLocality(snapshot: MeshSnapshot): boolean {
    if (this.#locality?.version !== snapshot.version)
      this.#locality = { version: snapshot.version, isUsed: usesLocality(snapshot) };
    return this.#locality.isUsed;
  }

  #collectGrpc(target: Target, collector: Collector): void {
    const { snapshot, clientNamespace } = target;
    const { services } = snapshot.tables;
    for (const listener of grpcListeners(services, clientNamespace)) collector.listeners.set(listener.name, listener);
    for (const [key, service] of services)
      for (const port of service.ports)
        if (port.protocol !== "TCP")
          this.#addTable(target, `outbound/${key}/${port.port}`, collector, (scope) =>
            outboundTable(scope, key, port.port),
          );
  }

  #addListener(target: Target, built: BuiltListener, collector: Collector): void {
    collector.listeners.set(built.listener.name, built.listener);
    if (built.collector !== undefined) collector.clusters.set(built.collector.name, built.collector);
    for (const backend of built.backends) this.#addBackend(target, backend, collector);
  }

  #addTable(target: Target, name: string, collector: Collector, make: (scope: Scope) => BuiltTable): void {
    if (collector.routes.has(name)) return;
    const key = `${target.dialect} ${target.clientNamespace} ${name}`;
    const built = this.#tables.get(key, target.snapshot, (reader) => make(scopeOf(target, reader)));
    collector.routes.set(name, built.table);
    for (const backend of built.backends) this.#addBackend(target, backend, collector);
  }

  /** The table without hosts, and those of its hosts that were asked for. */
  #addHosts(target: Target, asked: ReadonlySet<string>, collector: Collector): void {
    const { snapshot, dialect, clientNamespace } = target;
    collector.routes.set(onDemandTable.name, onDemandTable);
    if (asked.size === 0) return;
    const owners = this.#owners.get(clientNamespace, snapshot, (reader) => ownersByHost(scopeOf(target, reader)));
    const prefix = `${onDemandTable.name}/`;
    for (const name of asked) {
      const owner = name.startsWith(prefix) ? owners.get(name.slice(prefix.length)) : undefined;
      if (owner === undefined) continue;
      // Which names an owner has depends on all the others, so they are part of the key.
      const key = `${dialect} ${clientNamespace} ${owner.service}:${owner.port} ${owner.domains.join(" ")}`;
      const built = this.#hosts.get(key, snapshot, (reader) => proxyHost(scopeOf(target, reader), owner));
      if (built === undefined) continue;
      collector.virtualHosts.set(name, built.host);
      for (const backend of built.backends) this.#addBackend(target, backend, collector);
    }
  }

  #addBackend(target: Target, backend: Backend, collector: Collector): void {
    if (collector.clusters.has(backend.cluster)) return;
    const key = `${target.dialect} ${backend.cluster}`;
    const cluster = this.#clusters.get(key, target.snapshot, (reader) => clusterOf(scopeOf(target, reader), backend));
    if (cluster === undefined) return;
    collector.clusters.set(cluster.name, cluster);
    if (cluster.discovery.kind !== "eds" || collector.endpoints.has(cluster.discovery.serviceName)) return;
    const { region, zone } = target.locality;
    const isLocal = this.#localities.get(backend.cluster, target.snapshot, (reader) =>
      localityPolicyOf(scopeOf(target, reader), backend),
    );
    const suffix = isLocal === undefined ? "" : ` from ${region}/${zone}`;
    const name = `${target.dialect} ${cluster.discovery.serviceName}${suffix}`;
    const assignment = this.#endpoints.get(name, target.snapshot, (reader) =>
      assignmentOf(scopeOf(target, reader), backend, isLocal === undefined ? undefined : target.locality),
    );
    collector.endpoints.set(assignment.cluster, assignment);
  }

  #prune(sequence: number): void {
    if (sequence === this.#prunedAt) return;
    this.#prunedAt = sequence;
    const oldest = sequence - keepVersions;
    for (const kind of [...this.#derivations, this.#localities]) kind.prune(oldest);
    for (const [key, { version }] of this.#captured)
      if (Number.parseInt(version, 10) < oldest) this.#captured.delete(key);
    for (const [key, { resources }] of this.#proxies)
      if (Number.parseInt(resources.version, 10) < oldest) this.#proxies.delete(key);
  }

  get #derivations(): readonly Pick<Derivation<unknown>, "madeCount" | "prune">[] {
    const parts = [this.#listeners, this.#inbounds, this.#tables, this.#clusters, this.#endpoints];
    return [...parts, this.#owners, this.#hosts, this.#captures, this.#inboundCaptures, this.#services, this.#pods];
  }
}

function addInbound({ listener, cluster, collector: telemetry }: BuiltInbound, collector: Collector): void {
  collector.listeners.set(listener.name, listener);
  collector.clusters.set(cluster.name, cluster);
  if (telemetry !== undefined) collector.clusters.set(telemetry.name, telemetry);
}

/** The client without its name, unless a tenant's source or a colour says by that name whom it believes. */
function sharedClient(snapshot: MeshSnapshot, client: Client): Client {
  const { tenants, colours = [] } = meshConfigIn(snapshot);
  const trusted = [
    ...(tenants?.sources ?? []).map(({ header }) => header?.trusted),
    ...colours.map((one) => one.trusted),
  ];
  const isNamed = trusted.some((one) => one?.listeners?.includes(`${client.id}:${client.listen}`));
  return isNamed ? client : { ...client, id: "" };
}

function scopeOf({ dialect, clientNamespace }: Target, reader: MeshReader): Scope {
  return { reader, dialect, clientNamespace };
}

/** What the node says of itself was compared with its certificate; it must also be what the mesh says of the workload. */
function isAccountOf(node: NodeInfo, workload: Workload): boolean {
  const told = node.metadata["serviceAccount"];
  return told === undefined || told === workload.serviceAccount;
}

/** The workload's own entry is something that was read too. */
function withReads(reader: MeshReader, workload: Workload): Workload {
  return reader.get("workloads", workload.id) ?? workload;
}

/** Maps whose entries are all the same stay the same, so that they need not be looked at again. */
function shareMaps(
  previous: ProxyResources | undefined,
  next: Collector,
  secrets: ProxyResources["secrets"],
  version: string,
): ProxyResources {
  return {
    version,
    listeners: shareMap(previous?.listeners, next.listeners),
    routes: shareMap(previous?.routes, next.routes),
    virtualHosts: shareMap(previous?.virtualHosts, next.virtualHosts),
    clusters: shareMap(previous?.clusters, next.clusters),
    endpoints: shareMap(previous?.endpoints, next.endpoints),
    secrets,
  };
}

function shareMap<T>(
  previous: ReadonlyMap<string, T> | undefined,
  next: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  if (previous?.size !== next.size) return next;
  for (const [name, value] of next) if (previous.get(name) !== value) return next;
  return previous;
}

/** A proxy's own word that it asks for virtual hosts when it needs them (contracts.md, "On demand"). */
function asksForHosts(node: NodeInfo): boolean {
  const told = node.metadata["onDemand"];
  return Array.isArray(told) && told.includes("virtualHosts");
}

function isSame(list: readonly string[], set: ReadonlySet<string>): boolean {
  return list.length === set.size && list.every((name) => set.has(name));
}

/** A client without a workload says its namespace in its metadata, or at the front of its id. */
function namespaceOf(node: NodeInfo): string {
  const told = node.metadata["namespace"];
  if (typeof told === "string") return told;
  return node.id.includes("/") ? node.id.slice(0, node.id.indexOf("/")) : "default";
}
