// From a cluster and an endpoint to how it is connected to; never to plaintext where an identity is known.
import { isIP } from "node:net";
import type { Cluster } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Labels } from "#config/model/route.ts";
import type { UpstreamTls } from "#config/model/tls.ts";
import type { ConnectTarget } from "./connector.ts";

export type PoolProtocol = ConnectTarget["protocol"];

/** A string says why the endpoint must not be connected to. */
export function resolveTarget(cluster: Cluster, endpoint: Endpoint, protocol: PoolProtocol): ConnectTarget | string {
  const tls = tlsOf(cluster, endpoint);
  const { mesh } = endpoint;
  if (mesh.kind === "none") {
    return makeTarget(cluster, endpoint, endpoint.address, endpoint.port, protocol, tls, undefined);
  }
  if (tls === undefined) {
    return (
      `the endpoint ${endpoint.address}:${endpoint.port} has the identity ${mesh.identity}, but cluster ` +
      `"${cluster.name}" has no TLS for it: it is never called in plaintext`
    );
  }
  // The mesh hop is HTTP/2 whatever it carries (contracts.md: the mesh hop).
  const { inboundAddress, inboundPort, identity } = mesh;
  return makeTarget(cluster, endpoint, inboundAddress, inboundPort, "http2", tls, identity);
}

/** Equal keys, same pool: endpoint, ALPN, TLS with names of secrets, expected identity, options. */
export function targetKey(target: ConnectTarget | string): string {
  return JSON.stringify(target);
}

function makeTarget(
  cluster: Cluster,
  endpoint: Endpoint,
  address: string,
  port: number,
  protocol: PoolProtocol,
  tls: UpstreamTls | undefined,
  expectedIdentity: string | undefined,
): ConnectTarget {
  return {
    address,
    port,
    hostname: endpoint.hostname,
    protocol,
    tls,
    expectedIdentity,
    sourceAddress: cluster.sourceAddresses?.find((source) => isIP(source) === isIP(address)),
    timeoutMs: cluster.connectTimeoutMs,
    http: cluster.http,
    bufferLimitBytes: cluster.perConnectionBufferLimitBytes,
  };
}

function tlsOf(cluster: Cluster, endpoint: Endpoint): UpstreamTls | undefined {
  for (const { match, tls } of cluster.tlsMatches) if (hasLabels(endpoint.transportSocket, match)) return tls;
  return cluster.tls;
}

/** Whether all of `wanted` are there; "" wants none of that key. */
export function hasLabels(labels: Labels, wanted: Labels): boolean {
  for (const key of Object.keys(wanted)) if ((labels[key] ?? "") !== wanted[key]) return false;
  return true;
}
