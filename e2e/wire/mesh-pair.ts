// Two sidecars as a mesh has them: one beside the client, one beside the application, mutual TLS between them.
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

/** Starts both in front of an application; they end with the test. `manager` and `calledManager` add to their connection managers. */
export async function startMeshPair(
  t: TestContext,
  appPort: number,
  protocol: "http1" | "http2" = "http1",
  manager: object = {},
  calledManager = manager,
): Promise<MeshPair> {
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
  const plain = httpListener("in", "app", "HTTP2", undefined, calledManager);
  const inbound = {
    ...plain,
    filter_chains: plain.filter_chains.map((chain) => ({
      ...chain,
      transport_socket: {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": `${TLS}DownstreamTlsContext`,
          require_client_certificate: true,
          common_tls_context: common(calledPem),
        },
      },
    })),
  };
  const called = await Proxy.start({ listeners: [inbound], clusters: [cluster("app", appPort, protocol)] });
  atEnd(t, () => called.stop());
  const peer = cluster("called", called.port("in"), "http2");
  const metadata = { filter_metadata: { "heddle.mesh": { identity: CALLED, version: "1", port: appPort } } };
  const caller = await Proxy.start({
    listeners: [httpListener("out", "called", "AUTO", undefined, manager)],
    clusters: [
      {
        ...peer,
        transport_socket: {
          name: "envoy.transport_sockets.tls",
          typed_config: {
            "@type": `${TLS}UpstreamTlsContext`,
            sni: "called.e2e",
            common_tls_context: common(callerPem),
          },
        },
        load_assignment: {
          cluster_name: "called",
          endpoints: peer.load_assignment.endpoints.map(({ lb_endpoints }) => ({
            lb_endpoints: lb_endpoints.map((endpoint) => ({ ...endpoint, metadata })),
          })),
        },
      },
    ],
  });
  atEnd(t, () => caller.stop());
  return { port: caller.port("out"), caller, called };
}
