// What an application's captured connections to pods of the mesh come to on ports that no service names: the pod's own proxy, by
// mutual TLS with the pod's identity. A destination known to have an identity is never called in plaintext (contracts.md).
import type { SocketAddress } from "#config/model/address.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { Route, RouteTable } from "#config/model/route.ts";
import { otherPorts, tryListPorts } from "../mesh/ports.ts";
import { spiffeId, type Workload } from "../mesh/workload.ts";
import { anyPort } from "./captured-inbound.ts";
import { originalDestinationCluster } from "./captured-unknown.ts";
import { meshTls } from "./cluster.ts";
import { anyConnection, anyRequest, emptyScope, forwardDefaults } from "./defaults.ts";
import { passthroughName, podServerName, podsName, refusedClusters } from "./names.ts";
import { outboundChains, tcpChain, usualListener, type Client } from "./outbound-chains.ts";
import { mtlsMode } from "./policy/peer-authentication.ts";
import { meshConfigOf, type Scope } from "./scope.ts";

export interface BuiltPods {
  readonly listeners: readonly Listener[];
  /** `namespace/service account`: whose cluster they lead to. */
  readonly owner: string;
  readonly collector: Cluster | undefined;
}

/** `group` is a key of the table `podGroups`; undefined: it has no pod that takes mutual TLS. */
export function podsListeners(scope: Scope, client: Client, group: string): BuiltPods | undefined {
  if (scope.dialect !== "heddle") return undefined;
  const all = scope.reader.get("podGroups", group) ?? [];
  const some = all.filter((pod) => takesMutualTls(scope, pod));
  const pods = some.length === all.length ? all : some;
  const [first] = pods;
  if (first === undefined) return undefined;
  const { namespace, serviceAccount } = first;
  const owner = `${namespace}/${serviceAccount}`;
  const name = podsName(owner);
  const service = `${namespace}/`;
  const backend = { cluster: name, service, port: 0, subset: undefined, isDirect: false };
  const { chains, collector } = outboundChains(scope, client, service, anyPort, backend, {
    kind: "inline",
    table: tableOf(name),
  });
  const rest = meshConfigOf(scope.reader).outboundPolicy === "deny" ? refusedClusters.unknown : passthroughName;
  const listeners = reachesOf(pods).map(({ but, address, more }, index): Listener => {
    const past = but.map((destinationPort): FilterChain => {
      const chain = tcpChain(`${rest}/${destinationPort}`, rest, { accessLogs: [] });
      return { ...chain, match: { ...anyConnection, destinationPort } };
    });
    return {
      name: `${podsName(group)}${index === 0 ? "" : `-${index}`}`,
      address,
      ...(more.length === 0 ? {} : { additionalAddresses: more }),
      direction: "outbound",
      ...usualListener,
      bindToPort: false,
      ...chains,
      filterChains: [...past, ...chains.filterChains],
    };
  });
  return { listeners, owner, collector };
}

/** Whoever answers at the address that the connection was going to must prove the identity of `owner`. */
export function podsCluster(scope: Scope, owner: string): Cluster {
  const [namespace = "", serviceAccount = ""] = owner.split("/");
  const identity = spiffeId(meshConfigOf(scope.reader).trustDomain, namespace, serviceAccount);
  return {
    ...originalDestinationCluster(podsName(owner), []),
    discovery: { kind: "originalDst", identity },
    tls: meshTls(podServerName(owner), [identity]),
  };
}

function takesMutualTls({ reader }: Scope, { namespace, labels }: Workload): boolean {
  return mtlsMode(reader, `${namespace}/`, anyPort, labels) !== "DISABLE";
}

/** Addresses that are reached in the same way. */
interface Reach {
  /** Ports that are not redirected to the pods' proxies. */
  readonly but: readonly number[];
  readonly address: SocketAddress;
  readonly more: readonly SocketAddress[];
}

/** The same objects for all clients: there may be as many of these as pods. */
const reaches = new WeakMap<readonly Workload[], readonly Reach[]>();

function reachesOf(pods: readonly Workload[]): readonly Reach[] {
  const known = reaches.get(pods);
  if (known !== undefined) return known;
  const found = new Map<string, { readonly but: readonly number[]; readonly addresses: SocketAddress[] }>();
  for (const pod of pods) {
    const { but, addresses } = reachOf(pod);
    const key = but.join();
    const same = found.get(key);
    if (same === undefined) found.set(key, { but, addresses: [...addresses] });
    else same.addresses.push(...addresses);
  }
  const made = [...found.values()].flatMap(({ but, addresses: [address, ...more] }) =>
    address === undefined ? [] : [{ but, address, more }],
  );
  reaches.set(pods, made);
  return made;
}

/**
 * Port 0 is every port. A pod most of whose ports are not redirected is reached at the others one by one. Where neither can be
 * listed, it is called as a stranger.
 */
function reachOf(pod: Workload): { readonly but: readonly number[]; readonly addresses: readonly SocketAddress[] } {
  const { capture, adminPort, metricsPort } = pod;
  if (capture === undefined) return { but: [], addresses: [] };
  const own = [capture.inboundPort, capture.outboundPort, adminPort, metricsPort].filter((port) => port !== undefined);
  const passed = tryListPorts(capture.passedPorts ?? []);
  if (passed !== undefined) {
    const but = [...new Set([...own, ...passed])].sort((left, right) => left - right);
    return { but, addresses: pod.addresses.map((address) => ({ address, port: 0 })) };
  }
  const taken = tryListPorts(otherPorts(capture.passedPorts ?? [])) ?? [];
  const ports = taken.filter((port) => !own.includes(port));
  return { but: [], addresses: pod.addresses.flatMap((address) => ports.map((port) => ({ address, port }))) };
}

function tableOf(name: string): RouteTable {
  const route: Route = {
    ...emptyScope,
    name: `Pods ${name.slice(name.indexOf("/") + 1)}`,
    match: anyRequest,
    action: { ...forwardDefaults, target: { kind: "cluster", name } },
    metadata: {},
  };
  const host = { ...emptyScope, name, domains: ["*"], routes: [route], retry: undefined };
  return { ...emptyScope, name, virtualHosts: [host], onDemand: false };
}
