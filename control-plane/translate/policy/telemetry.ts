// Access logs and tracing of a service's traffic: from its Telemetry, its namespace's, or MeshConfig, block by block.
import { isIP } from "node:net";
import type { Cluster } from "#config/model/cluster.ts";
import type { Direction } from "#config/model/listener.ts";
import type { AccessLog, TracingConfig } from "#config/model/telemetry.ts";
import type { AccessLog as AccessLogBlock, Telemetry, Tracing } from "#config/schema/telemetry.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { targetKey } from "../../mesh/snapshot.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { limitDefaults, upstreamDefaults } from "../defaults.ts";
import { meshConfigOf } from "../scope.ts";

/** The stable names of the access log (docs); what Envoy has no operator for is dynamic metadata of `heddle`, empty there. */
export const accessLogFields = {
  time: "%START_TIME%",
  request_id: "%REQ(X-REQUEST-ID)%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  authority: "%REQ(:AUTHORITY)%",
  protocol: "%PROTOCOL%",
  status: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  duration_ms: "%DURATION%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER%",
  route_name: "%ROUTE_NAME%",
  attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
  attempt_times_ms: "%DYNAMIC_METADATA(heddle:attempt_times_ms)%",
  peer_identity: "%DOWNSTREAM_PEER_URI_SAN%",
  trace_id: "%TRACE_ID%",
  tenant: "%DYNAMIC_METADATA(heddle:tenant)%",
  config_version: "%DYNAMIC_METADATA(heddle:config_version)%",
} as const;

export interface TrafficTelemetry {
  readonly accessLogs: readonly AccessLog[];
  readonly tracing: TracingConfig | undefined;
  /** Where spans go, for proxies that reach it through a cluster. */
  readonly collector: Cluster | undefined;
}

/** `service` is `namespace/name`; `owner` names the spans: the service whose proxy this is. */
export function telemetryFor(
  reader: MeshReader,
  service: string,
  port: ServicePort | undefined,
  direction: Direction,
  owner: string,
): TrafficTelemetry {
  const [namespace = "", name = ""] = service.split("/");
  const targeted = (reader.get("telemetries", targetKey("Service", namespace, name)) ?? []).filter((policy) =>
    isForPort(policy, name, port),
  );
  const wide = reader.get("telemetries", targetKey("Namespace", namespace, "")) ?? [];
  const specs = [...targeted, ...wide].map((policy) => policy.spec);
  const mesh = meshConfigOf(reader);
  const log = specs.find((spec) => spec.accessLog !== undefined)?.accessLog ?? mesh.accessLog;
  const tracing = specs.find((spec) => spec.tracing !== undefined)?.tracing ?? mesh.tracing;
  const collector = tracing?.otlp === undefined ? undefined : collectorCluster(tracing.otlp);
  return { accessLogs: accessLogs(log, direction), tracing: tracingConfig(tracing, collector, owner), collector };
}

function isForPort({ spec }: Telemetry, name: string, port: ServicePort | undefined): boolean {
  const refs = spec.targetRefs ?? [];
  return refs.some((ref) => ref.name === name && (ref.sectionName === undefined || ref.sectionName === port?.name));
}

function accessLogs(block: AccessLogBlock | undefined, direction: Direction): readonly AccessLog[] {
  if (block?.enabled !== true) return [];
  const fields = { ...accessLogFields, direction, ...block.fields };
  return [{ path: block.path, format: { kind: "json", fields } }];
}

function tracingConfig(
  block: Tracing | undefined,
  collector: Cluster | undefined,
  owner: string,
): TracingConfig | undefined {
  // Without a word on tracing nothing is recorded, but context still goes through.
  const samplingPercent = block?.samplingPercent ?? 0;
  const otlp = block?.otlp;
  return {
    randomSampling: samplingPercent,
    exporter:
      otlp === undefined || collector === undefined
        ? undefined
        : {
            kind: "otlp",
            cluster: collector.name,
            endpoint: otlp.endpoint,
            protocol: otlp.protocol,
            serviceName: owner,
          },
  };
}

function collectorCluster(otlp: NonNullable<Tracing["otlp"]>): Cluster | undefined {
  const url = URL.parse(otlp.endpoint);
  if (url === null) return undefined;
  const address = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const name = `telemetry/otlp/${url.host}`;
  const endpoint = {
    address,
    port,
    hostname: url.hostname,
    health: "unknown" as const,
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" as const },
  };
  const assignment = {
    cluster: name,
    overprovisioningFactor: 140,
    localities: [{ region: "", zone: "", subZone: "", priority: 0, weight: 1, endpoints: [endpoint] }],
  };
  return {
    name,
    altStatName: undefined,
    discovery:
      isIP(address) === 0 ? { kind: "strictDns", assignment, refreshMs: 5000 } : { kind: "static", assignment },
    connectTimeoutMs: 5000,
    lb: { kind: "roundRobin" },
    slowStart: undefined,
    panicThresholdPercent: 50,
    limits: limitDefaults,
    highPriorityLimits: limitDefaults,
    outlier: undefined,
    healthChecks: [],
    closeOnHealthFailure: false,
    tls: undefined,
    tlsMatches: [],
    http: { ...upstreamDefaults, protocol: otlp.protocol === "grpc" ? "http2" : "http1" },
    perConnectionBufferLimitBytes: 1024 * 1024,
    breaker: undefined,
    metadata: {},
  };
}
