// The cluster of one backend: its policies, and mutual TLS to those endpoints that are mesh peers.
import type { Cluster, HttpUpstreamOptions } from "#config/model/cluster.ts";
import type { UpstreamTls } from "#config/model/tls.ts";
import type { ServicePort } from "../registry/registry.ts";
import { listenerBufferBytes } from "./defaults.ts";
import { assignmentName, meshHopOf, meshSocketLabels, selectEndpoints } from "./endpoints.ts";
import { meshServerName } from "./names.ts";
import { clusterPolicy, upstreamOptions } from "./policy/cluster.ts";
import { clusterTenants } from "./policy/tenants.ts";
import { trafficFor } from "./policy/traffic.ts";
import { findPort, meshConfigOf, wholeBackend, type Backend, type Scope } from "./scope.ts";

/** The names under which every proxy serves its own key and the mesh's roots to itself (SDS). */
export const ownCertificate = "default";
export const meshRoots = "ROOTCA";

/** undefined: the service or its port is gone. */
export function clusterOf(scope: Scope, backend: Backend): Cluster | undefined {
  const service = scope.reader.get("services", backend.service);
  const port = findPort(service, backend.port);
  if (service === undefined || port === undefined) return undefined;
  const blocks = trafficFor(scope.reader, { service: backend.service, port, subset: backend.subset });
  const endpoints = selectEndpoints(scope, service, backend);
  const hops = endpoints.map((endpoint) => meshHopOf(scope, service, port, endpoint));
  const identities = new Set(hops.flatMap((hop) => (hop.kind === "peer" ? [hop.identity] : [])));
  const tls = meshTls(meshServerName(backend.service, backend.port), [...identities].sort());
  const isRequired = scope.dialect === "heddle" && meshConfigOf(scope.reader).outboundMtls === "required";
  const { discovery, ...direct } = choiceOf(scope, backend);
  const host = `${service.name}.${service.namespace}`;
  const metadata = { service: service.name, namespace: service.namespace, port: port.name, protocol: port.protocol };
  return {
    name: backend.cluster,
    altStatName: undefined,
    discovery,
    ...clusterPolicy(blocks, scope.dialect, host, port.protocol),
    ...direct,
    // Where mutual TLS is required an endpoint without it is not called at all: its handshake fails closed.
    tls: isRequired ? tls : undefined,
    tlsMatches:
      identities.size === 0
        ? []
        : [
            { name: "heddle", match: meshSocketLabels, tls },
            ...(isRequired ? [] : [{ name: "plaintext", match: {}, tls: undefined }]),
          ],
    http: upstreamOptions(blocks, upstreamProtocol(scope, port.protocol, identities.size > 0 || isRequired)),
    perConnectionBufferLimitBytes: listenerBufferBytes,
    metadata: { heddle: metadata, ...clusterTenants(scope.reader, endpoints, blocks.tenants?.isolate) },
  };
}

/** How endpoints are found, and for direct connections that there is nothing to choose among: an Envoy calls any address. */
function choiceOf(scope: Scope, backend: Backend): Pick<Cluster, "discovery"> & Partial<Cluster> {
  if (!backend.isDirect) return { discovery: { kind: "eds", serviceName: backend.cluster } };
  const nothing = { slowStart: undefined, outlier: undefined, healthChecks: [], closeOnHealthFailure: false };
  if (scope.dialect !== "heddle")
    return { ...nothing, discovery: { kind: "originalDst" }, lb: { kind: "originalDst" } };
  return {
    ...nothing,
    discovery: { kind: "eds", serviceName: assignmentName(scope, backend) },
    lb: { kind: "originalEndpoint" },
  };
}

/** A port of opaque TCP whose endpoints belong to tenants: nothing can tell which of them a connection may have. */
export function isDividedTcp(scope: Scope, backend: Backend): boolean {
  const service = scope.reader.get("services", backend.service);
  return findPort(service, backend.port)?.protocol === "TCP" && isDivided(scope, backend);
}

/** How connections to a port are taken: as HTTP, as opaque bytes, or as what their first bytes say. */
export type Treatment = "http" | "opaque" | "detect";

/** A port that says nothing is one of HTTP alone where its endpoints belong to tenants. */
export function treatmentOf(scope: Scope, service: string, port: ServicePort | undefined): Treatment {
  if (port?.protocol === "TCP") return "opaque";
  if (port?.protocol !== "AUTO") return "http";
  return isDivided(scope, wholeBackend(service, port.port)) ? "http" : "detect";
}

function isDivided(scope: Scope, backend: Backend): boolean {
  // First of all: whoever does not read the service is not translated again when its endpoints change.
  if (meshConfigOf(scope.reader).tenants === undefined) return false;
  const service = scope.reader.get("services", backend.service);
  const port = findPort(service, backend.port);
  if (service === undefined || port === undefined) return false;
  const { tenants } = trafficFor(scope.reader, { service: backend.service, port, subset: backend.subset });
  const endpoints = selectEndpoints(scope, service, backend);
  return Object.keys(clusterTenants(scope.reader, endpoints, tenants?.isolate)).length > 0;
}

/**
 * What an endpoint without a mesh hop speaks. Mesh peers speak HTTP/2, by ALPN: for the sake of an HTTP/1 application among them
 * the protocol is left to ALPN, which a cluster without any TLS does not have.
 */
function upstreamProtocol(
  { dialect }: Scope,
  protocol: ServicePort["protocol"],
  hasTls: boolean,
): HttpUpstreamOptions["protocol"] {
  if (protocol === "HTTP2" || protocol === "GRPC") return "http2";
  // Which HTTP the application understands is what its clients speak to it.
  if (protocol === "AUTO") return dialect === "grpc" ? "http2" : "downstream";
  return hasTls ? "auto" : "http1";
}

/** To peers who prove one of these identities. */
export function meshTls(serverName: string, identities: readonly string[]): UpstreamTls {
  return {
    certificate: { kind: "sds", name: ownCertificate },
    validation: {
      roots: { kind: "sds", name: meshRoots },
      subjectAltNames: identities.map((value) => ({
        type: "uri",
        matcher: { kind: "exact", value, ignoreCase: false },
      })),
      acceptUntrusted: false,
    },
    alpn: ["h2"],
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    cipherSuites: [],
    curves: [],
    sni: serverName,
    autoHostSni: false,
  };
}
