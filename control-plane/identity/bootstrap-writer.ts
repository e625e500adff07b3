// Writes what one sidecar starts from: its bootstrap (Envoy's format) and a join token.
import path from "node:path";
import { stringify } from "yaml";
import type { SocketAddress } from "#config/model/address.ts";
import type { JoinTokenStore } from "./join-tokens.ts";
import { writePrivateFile } from "./private-file.ts";
import { CONTROL_PLANE_NAME } from "./secure-server.ts";

export interface SidecarBootstrap {
  readonly namespace: string;
  /** The workload's name; with the namespace it is the node's id. */
  readonly workload: string;
  /** The service whose instance this is: the node's cluster. */
  readonly service: string;
  readonly serviceAccount: string;
  readonly spiffeId: string;
  readonly locality?: { readonly region: string; readonly zone: string };
  /** The control plane's TLS port. */
  readonly controlPlane: SocketAddress;
  /** PEM file with the mesh's roots. */
  readonly rootsFile: string;
  readonly tokenFile: string;
  /** The sidecar's own 0700 folder. */
  readonly stateDir: string;
  readonly admin: SocketAddress;
  readonly metrics: SocketAddress;
  readonly drainTimeMs?: number;
  readonly concurrency?: number;
}

const ADS_CLUSTER = "heddle-xds";
const CERTIFICATE_NAME = "default";
const BUNDLE_NAME = "ROOTCA";
const TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** The bootstrap as YAML. */
function formatBootstrap(sidecar: SidecarBootstrap): string {
  return stringify(
    {
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
    },
    { lineWidth: 0 },
  );
}

/**
 * Writes `bootstrap.yaml` and `token` (0600) under `folder` and answers where the bootstrap is. The token is issued here, for
 * `spiffeId`, with the given life (1 h when undefined).
 */
export function writeBootstrap(
  folder: string,
  sidecar: Omit<SidecarBootstrap, "tokenFile" | "stateDir">,
  tokens: JoinTokenStore,
  tokenLifeMs?: number,
): string {
  const tokenFile = path.join(folder, "token");
  const bootstrapFile = path.join(folder, "bootstrap.yaml");
  writePrivateFile(tokenFile, `${tokens.issueToken(sidecar.spiffeId, tokenLifeMs)}\n`);
  const full = { ...sidecar, tokenFile, stateDir: path.join(folder, "state") };
  writePrivateFile(bootstrapFile, formatBootstrap(full), 0o644);
  return bootstrapFile;
}

function formatNode(sidecar: SidecarBootstrap): object {
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
          spiffe_id: sidecar.spiffeId,
          certificate_name: CERTIFICATE_NAME,
          bundle_name: BUNDLE_NAME,
        },
        metrics: sidecar.metrics,
        state_dir: sidecar.stateDir,
        drain_time_ms: sidecar.drainTimeMs ?? 5_000,
        concurrency: sidecar.concurrency ?? 1,
      },
    },
  };
}

function formatAdsCluster(address: SocketAddress): object {
  const ads = { ads: {}, resource_api_version: "V3" };
  return {
    name: ADS_CLUSTER,
    type: "STATIC",
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
