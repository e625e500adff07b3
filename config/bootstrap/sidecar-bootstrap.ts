// What a sidecar of the mesh starts from, in Envoy's format: its node, its control plane over TLS, Heddle's own settings.
import { isIP } from "node:net";
import type { SocketAddress } from "../model/address.ts";

/** The name in the control plane's certificate, whatever address it has. */
export const CONTROL_PLANE_NAME = "heddle-control-plane";

export interface SidecarBootstrap {
  readonly namespace: string;
  /** The workload's name; with the namespace it is the node's id. */
  readonly workload: string;
  /** The service whose instance this is: the node's cluster. */
  readonly service: string;
  readonly serviceAccount: string;
  readonly spiffeId: string;
  readonly locality?: { readonly region: string; readonly zone: string };
  /** The control plane's TLS port; a host name is looked up for each connection. */
  readonly controlPlane: SocketAddress;
  /** PEM file with the mesh's roots. */
  readonly rootsFile: string;
  readonly tokenFile: string;
  /** What a renewal shows: `certificate` by default; `token` where its file always holds a good one. */
  readonly renewWith?: "certificate" | "token";
  /** The sidecar's own 0700 folder. */
  readonly stateDir: string;
  readonly admin: SocketAddress;
  readonly metrics: SocketAddress;
  readonly drainTimeMs?: number;
  /** How long after SIGTERM everything is served as before, so that callers learn that it ends; 0 by default. */
  readonly terminationDrainMs?: number;
  readonly concurrency?: number;
}

const ADS_CLUSTER = "heddle-xds";
const CERTIFICATE_NAME = "default";
const BUNDLE_NAME = "ROOTCA";
const TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** The bootstrap as a value to be written as JSON or YAML. */
export function makeSidecarBootstrap(sidecar: SidecarBootstrap): object {
  return {
    node: formatNode(sidecar),
    admin: { address: formatSocket(sidecar.admin) },
    dynamic_resources: {
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: ADS_CLUSTER } }],
      },
      lds_config: { ads: {}, resource_api_version: "V3" },
      cds_config: { ads: {}, resource_api_version: "V3" },
    },
    static_resources: { clusters: [formatAdsCluster(sidecar.controlPlane)] },
  };
}

function formatNode(sidecar: SidecarBootstrap): object {
  const { renewWith, terminationDrainMs } = sidecar;
  return {
    id: `${sidecar.namespace}/${sidecar.workload}`,
    cluster: sidecar.service,
    ...(sidecar.locality === undefined ? {} : { locality: sidecar.locality }),
    metadata: {
      namespace: sidecar.namespace,
      serviceAccount: sidecar.serviceAccount,
      workload: sidecar.workload,
      heddle: {
        identity: {
          address: sidecar.controlPlane,
          roots_file: sidecar.rootsFile,
          token_file: sidecar.tokenFile,
          ...(renewWith === undefined ? {} : { renew_with: renewWith }),
          spiffe_id: sidecar.spiffeId,
          certificate_name: CERTIFICATE_NAME,
          bundle_name: BUNDLE_NAME,
        },
        metrics: sidecar.metrics,
        state_dir: sidecar.stateDir,
        drain_time_ms: sidecar.drainTimeMs ?? 5_000,
        ...(terminationDrainMs === undefined ? {} : { termination_drain_ms: terminationDrainMs }),
        concurrency: sidecar.concurrency ?? 1,
      },
    },
  };
}

function formatAdsCluster(address: SocketAddress): object {
  const ads = { ads: {}, resource_api_version: "V3" };
  return {
    name: ADS_CLUSTER,
    // The stream looks the name up itself whenever it connects; no data goes there that would need fresh addresses.
    ...(isIP(address.address) === 0 ? { type: "LOGICAL_DNS", dns_refresh_rate: "3600s" } : { type: "STATIC" }),
    connect_timeout: "5s",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP_OPTIONS,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: ADS_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: formatSocket(address) } }] }],
    },
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": TLS_CONTEXT,
        sni: CONTROL_PLANE_NAME,
        common_tls_context: {
          alpn_protocols: ["h2"],
          tls_certificate_sds_secret_configs: [{ name: CERTIFICATE_NAME, sds_config: ads }],
          combined_validation_context: {
            default_validation_context: {
              match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: CONTROL_PLANE_NAME } }],
            },
            validation_context_sds_secret_config: { name: BUNDLE_NAME, sds_config: ads },
          },
        },
      },
    },
  };
}

function formatSocket(address: SocketAddress): object {
  return { socket_address: { address: address.address, port_value: address.port } };
}
