// Ways to an application for protocols that nobody told the proxy of: through one sidecar, and through two with mutual TLS.
import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import type { OnEnd } from "./cleanup.ts";
import { cluster, httpFilter, Proxy, tcpFilter } from "./proxy.ts";

export const WAYS = ["one sidecar", "two sidecars with mutual TLS"] as const;
export type Way = (typeof WAYS)[number];

const EXTENSIONS = "type.googleapis.com/envoy.extensions.";
const CALLER = "spiffe://e2e.local/ns/e2e/sa/caller";
const CALLED = "spiffe://e2e.local/ns/e2e/sa/called";
const ANY_PORT = { socket_address: { address: "127.0.0.1", port_value: 0 } };

/** Starts what the way needs in front of applications; gives the port to call for each. */
export async function startWay(
  onEnd: OnEnd,
  way: Way,
  apps: Readonly<Record<string, number>>,
): Promise<(app: string) => number> {
  const proxy = way === "one sidecar" ? await startOne(onEnd, apps) : await startTwo(onEnd, apps);
  return (app) => proxy.port(`out-${app}`);
}

async function startOne(onEnd: OnEnd, apps: Readonly<Record<string, number>>): Promise<Proxy> {
  const proxy = await Proxy.start({
    listeners: Object.keys(apps).map((app) => undeclaredListener(`out-${app}`, app)),
    clusters: Object.entries(apps).map(([app, port]) => cluster(app, port)),
  });
  onEnd(() => proxy.stop());
  return proxy;
}

async function startTwo(onEnd: OnEnd, apps: Readonly<Record<string, number>>): Promise<Proxy> {
  const authority = await makeAuthority();
  const [caller, called] = await Promise.all([authority.issue({ uri: CALLER }), authority.issue({ uri: CALLED })]);
  const tlsOf = (pem: typeof caller): object => ({
    alpn_protocols: ["h2"],
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [
      { certificate_chain: { inline_string: pem.chainPem }, private_key: { inline_string: pem.keyPem } },
    ],
    validation_context: { trusted_ca: { inline_string: authority.bundlePem } },
  });
  const inbound = await Proxy.start({
    listeners: Object.keys(apps).map((app) => meshListener(`in-${app}`, app, tlsOf(called))),
    clusters: Object.entries(apps).map(([app, port]) => cluster(app, port)),
  });
  onEnd(() => inbound.stop());
  const outbound = await Proxy.start({
    listeners: Object.keys(apps).map((app) => undeclaredListener(`out-${app}`, app)),
    clusters: Object.entries(apps).map(([app, port]) =>
      peerCluster(app, inbound.port(`in-${app}`), port, tlsOf(caller)),
    ),
  });
  onEnd(() => outbound.stop());
  return outbound;
}

/** HTTP where the first bytes say so, opaque bytes else: one file for Envoy and Heddle, but that an Envoy waits. */
function undeclaredListener(name: string, target: string): object {
  return {
    name,
    address: ANY_PORT,
    listener_filters: [inspector("tls"), inspector("http")],
    listener_filters_timeout: "1s",
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      {
        name: "http",
        filter_chain_match: {
          transport_protocol: "raw_buffer",
          application_protocols: ["http/1.0", "http/1.1", "h2c"],
        },
        filters: [httpFilter(name, target)],
      },
    ],
    default_filter_chain: { name: "opaque", filters: [tcpFilter(name, target)] },
  };
}

function inspector(kind: "tls" | "http"): object {
  const type = kind === "tls" ? "tls_inspector.v3.TlsInspector" : "http_inspector.v3.HttpInspector";
  return {
    name: `envoy.filters.listener.${kind}_inspector`,
    typed_config: { "@type": `${EXTENSIONS}filters.listener.${type}` },
  };
}

/** What a mesh peer calls: HTTP/2 over mutual TLS; a CONNECT for opaque bytes ends here. */
function meshListener(name: string, target: string, common: object): object {
  return {
    name,
    address: ANY_PORT,
    filter_chains: [
      {
        filters: [meshFilter(name, target)],
        transport_socket: {
          name: "envoy.transport_sockets.tls",
          typed_config: {
            "@type": `${EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext`,
            require_client_certificate: true,
            common_tls_context: common,
          },
        },
      },
    ],
  };
}

function meshFilter(name: string, target: string): object {
  const opaque = { upgrade_type: "heddle-tcp" };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: name,
      codec_type: "HTTP2",
      http2_protocol_options: { allow_connect: true },
      stream_idle_timeout: "0s",
      upgrade_configs: [opaque],
      route_config: {
        name,
        virtual_hosts: [
          {
            name: "all",
            domains: ["*"],
            routes: [
              { match: { connect_matcher: {} }, route: { cluster: target, timeout: "0s", upgrade_configs: [opaque] } },
              { match: { prefix: "/" }, route: { cluster: target, timeout: "0s" } },
            ],
          },
        ],
      },
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: { "@type": `${EXTENSIONS}filters.http.router.v3.Router` },
        },
      ],
    },
  };
}

function peerCluster(name: string, port: number, appPort: number, common: object): object {
  const mesh = { identity: CALLED, version: "1", port: appPort };
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": `${EXTENSIONS}transport_sockets.tls.v3.UpstreamTlsContext`,
        sni: "called.e2e",
        common_tls_context: common,
      },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } },
              metadata: { filter_metadata: { "heddle.mesh": mesh } },
            },
          ],
        },
      ],
    },
  };
}
