// Two sidecars as a mesh has them: one beside the client, one beside the applications, mutual TLS between them.
import type { TestContext } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

const CALLER = "spiffe://e2e.local/ns/e2e/sa/caller";
const CALLED = "spiffe://e2e.local/ns/e2e/sa/called";
const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";

export interface MeshPair {
  /** Where the client calls: in plaintext, HTTP/1 or HTTP/2. */
  readonly port: number;
  readonly caller: Proxy;
  readonly called: Proxy;
}

/** An application behind the called sidecar. */
export interface MeshApp {
  readonly port: number;
  readonly protocol: "http1" | "http2";
}

/** Both sidecars, with a listener of the application's name for each on either. */
export interface Mesh {
  readonly caller: Proxy;
  readonly called: Proxy;
}

/** Starts both in front of an application; they end with the test. `manager` and `calledManager` add to their connection managers. */
export async function startMeshPair(
  t: TestContext,
  appPort: number,
  protocol: "http1" | "http2" = "http1",
  manager: object = {},
  calledManager = manager,
): Promise<MeshPair> {
  const mesh = await startMesh(t, { app: { port: appPort, protocol } }, manager, calledManager);
  return { ...mesh, port: mesh.caller.port("app") };
}

/** As `startMeshPair`, for several applications; the caller's listener `any` has them all as instances of one. */
export async function startMesh(
  t: TestContext,
  apps: Readonly<Record<string, MeshApp>>,
  manager: object = {},
  calledManager = manager,
): Promise<Mesh> {
  const authority = await makeAuthority();
  const [callerPem, calledPem] = await Promise.all([
    authority.issue({ uri: CALLER }),
    authority.issue({ uri: CALLED }),
  ]);
  const common = (pem: typeof callerPem): object => ({
    alpn_protocols: ["h2"],
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [
      { certificate_chain: { inline_string: pem.chainPem }, private_key: { inline_string: pem.keyPem } },
    ],
    validation_context: { trusted_ca: { inline_string: authority.bundlePem } },
  });
  const inbound = (name: string): unknown => {
    const plain = httpListener(name, name, "HTTP2", undefined, calledManager);
    const transport_socket = {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": `${TLS}DownstreamTlsContext`,
        require_client_certificate: true,
        common_tls_context: common(calledPem),
      },
    };
    return { ...plain, filter_chains: plain.filter_chains.map((chain) => ({ ...chain, transport_socket })) };
  };
  const names = Object.keys(apps);
  const called = await Proxy.start({
    listeners: names.map(inbound),
    clusters: Object.entries(apps).map(([name, app]) => cluster(name, app.port, app.protocol)),
  });
  atEnd(t, () => called.stop());
  const endpointsOf = (name: string): readonly object[] => {
    const metadata = { filter_metadata: { "heddle.mesh": { identity: CALLED, version: "1", port: apps[name]?.port } } };
    return cluster(name, called.port(name), "http2").load_assignment.endpoints.flatMap((locality) =>
      locality.lb_endpoints.map((endpoint) => ({ ...endpoint, metadata })),
    );
  };
  const outbound = (name: string, members: readonly string[]): object => {
    const lb_endpoints = members.flatMap(endpointsOf);
    return {
      ...cluster(name, 0, "http2"),
      transport_socket: {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": `${TLS}UpstreamTlsContext`,
          sni: "called.e2e",
          common_tls_context: common(callerPem),
        },
      },
      load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] },
    };
  };
  const caller = await Proxy.start({
    listeners: [...names, "any"].map((name) => httpListener(name, name, "AUTO", undefined, manager)),
    clusters: [...names.map((name) => outbound(name, [name])), outbound("any", names)],
  });
  atEnd(t, () => caller.stop());
  return { caller, called };
}
