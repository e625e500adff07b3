// The pools of a cluster's endpoints: made when first needed, given another target when what defines them changes.
import type { Cluster } from "#config/model/cluster.ts";
import type { StreamHandler } from "#lib/http/stream.ts";
import type { ConnectTarget } from "./connector.ts";
import type { OpenTicket, OpenWaiter } from "./contract.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { Pool, type PoolContext } from "./pool.ts";
import { RawTunnel } from "./raw-tunnel.ts";
import { type PoolProtocol, resolveTarget, targetKey } from "./target.ts";
import { MeshTunnel } from "./tunnel.ts";

const PROTOCOLS: readonly PoolProtocol[] = ["http1", "http2", "auto"];
const NOTHING_TO_CANCEL: OpenTicket = { cancel: () => undefined };

export function openHttp(
  cluster: Cluster,
  context: PoolContext,
  host: EndpointState,
  downstream: "http1" | "http2",
  handler: StreamHandler,
  waiter: OpenWaiter,
): OpenTicket {
  const { protocol } = cluster.http;
  const wanted = host.endpoint.mesh.kind === "peer" ? "http2" : protocol === "downstream" ? downstream : protocol;
  const index = PROTOCOLS.indexOf(wanted);
  const pool = host.pools[index] ?? makePool(cluster, context, host, index);
  if (typeof pool === "string") {
    waiter.onFailure("tls", pool);
    return NOTHING_TO_CANCEL;
  }
  const ticket = pool.open(handler, waiter);
  // Whoever chose it before it was removed may still use it.
  if (host.isRemoved) pool.close();
  return ticket;
}

export function openTunnel(
  cluster: Cluster,
  context: PoolContext,
  host: EndpointState,
  authority: string,
  handler: StreamHandler,
  waiter: OpenWaiter,
): OpenTicket {
  if (host.endpoint.mesh.kind === "peer") {
    return new MeshTunnel(authority, handler, waiter).start((inner, innerWaiter) =>
      openHttp(cluster, context, host, "http2", inner, innerWaiter),
    );
  }
  const target = resolveTarget(cluster, host.endpoint, "raw");
  if (typeof target === "string") {
    waiter.onFailure("tls", target);
    return NOTHING_TO_CANCEL;
  }
  return RawTunnel.open(context.connector, context.circuit, target, handler, waiter);
}

/** After a change of the cluster or the endpoint: pools whose key is another now get the new target. */
export function refreshPools(cluster: Cluster, host: EndpointState): void {
  for (const [index, pool] of host.pools.entries()) {
    if (pool === undefined) continue;
    const target = resolveTarget(cluster, host.endpoint, PROTOCOLS[index] ?? "http1");
    if (typeof target === "string") {
      pool.close();
      host.pools[index] = undefined;
    } else if (targetKey(target) !== targetKey(pool.target)) pool.retarget(target);
  }
}

/** Drains the connections that were made with one of these SDS secrets. */
export function renewPools(host: EndpointState, secrets: ReadonlySet<string>): void {
  for (const pool of host.pools) if (pool !== undefined && usesSecret(pool.target, secrets)) pool.retarget(pool.target);
}

/** Connections that are open take no new requests. */
export function drainPools(host: EndpointState): void {
  for (const pool of host.pools) pool?.retarget(pool.target);
}

export function closePools(host: EndpointState): void {
  for (const pool of host.pools) pool?.close();
}

export function destroyConnections(host: EndpointState, why: string): void {
  for (const pool of host.pools) pool?.destroyConnections(why);
}

export function countConnections(host: EndpointState): number {
  return host.pools.reduce((sum, pool) => sum + (pool?.connectionCount ?? 0), 0);
}

function makePool(cluster: Cluster, context: PoolContext, host: EndpointState, index: number): Pool | string {
  const target = resolveTarget(cluster, host.endpoint, PROTOCOLS[index] ?? "http1");
  if (typeof target === "string") return target;
  const pool = new Pool(target, context);
  host.pools[index] = pool;
  return pool;
}

function usesSecret({ tls }: ConnectTarget, secrets: ReadonlySet<string>): boolean {
  if (tls === undefined) return false;
  const { certificate, validation } = tls;
  return (
    (certificate?.kind === "sds" && secrets.has(certificate.name)) ||
    (validation?.roots.kind === "sds" && secrets.has(validation.roots.name))
  );
}
