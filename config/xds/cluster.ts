// Cluster: a backend, message <-> model.
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { isIP } from "node:net";
import type { Cluster } from "../model/cluster.ts";
import type { ClusterLoadAssignment } from "../model/endpoint.ts";
import { breakerFromWire, breakerToWire, checkPriorities, limitsFromWire, limitsToWire } from "./circuit-limits.ts";
import { adsSource, checkAdsSource } from "./config-source.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, given, unless } from "./fields.ts";
import { assignmentFromWire, assignmentToWire } from "./endpoint.ts";
import {
  Cluster_DiscoveryType as Discovery,
  ClusterSchema,
  type Cluster as WireCluster,
} from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { BindConfig } from "./gen/envoy/config/core/v3/address_pb.ts";
import { RoutingPriority } from "./gen/envoy/config/core/v3/base_pb.ts";
import { healthCheckFromWire, healthCheckToWire } from "./health-check.ts";
import type { Scope } from "./issues.ts";
import { balancingFromWire, balancingToWire, commonBalancingToWire } from "./lb-policy.ts";
import { BREAKER_KEY, MESH_KEY, OUTLIER_KEY } from "./metadata-keys.ts";
import { metadataScope, metadataToWire, structLabels } from "./metadata.ts";
import { outlierFromWire, outlierToWire } from "./outlier.ts";
import { upstreamTlsFromWire, upstreamTlsToWire } from "./tls.ts";
import { upstreamHttpFromWire, upstreamHttpToWire } from "./upstream-http.ts";

/** Envoy's (expectations.md). */
const CONNECT_TIMEOUT_MS = 5000;
const DNS_REFRESH_MS = 5000;
const PANIC_PERCENT = 50;
const BUFFER_LIMIT_BYTES = 1024 * 1024;

export function clusterFromWire(wire: WireCluster, scope: Scope): Cluster {
  const {
    [BREAKER_KEY]: breaker,
    [MESH_KEY]: mesh,
    [OUTLIER_KEY]: stages,
    ...metadata
  } = wire.metadata?.filterMetadata ?? {};
  const discovery = discoveryFromWire(wire, mesh, scope);
  const balancing = balancingFromWire(wire, scope);
  if ((discovery.kind === "originalDst") !== (balancing.lb.kind === "originalDst")) {
    scope.field("lb_policy").invalid("CLUSTER_PROVIDED goes with type ORIGINAL_DST, and only with it");
  }
  const http = upstreamHttpFromWire(
    wire.typedExtensionProtocolOptions,
    scope.field("typed_extension_protocol_options"),
  );
  const hasSocket = wire.transportSocket !== undefined || wire.transportSocketMatches.length > 0;
  if (http.protocol === "auto" && !hasSocket) {
    scope.field("transport_socket").invalid("must be set with auto_config: ALPN chooses the protocol");
  }
  checkPriorities(wire.circuitBreakers, scope.field("circuit_breakers"));
  return {
    name: wire.name,
    altStatName: wire.altStatName === "" ? undefined : wire.altStatName,
    discovery,
    connectTimeoutMs: toMsOr(wire.connectTimeout, CONNECT_TIMEOUT_MS),
    ...bindFromWire(wire.upstreamBindConfig, scope.field("upstream_bind_config")),
    ...balancing,
    ...(wire.commonLbConfig?.ignoreNewHostsUntilFirstHc === true ? { ignoresUnchecked: true } : {}),
    ...(wire.commonLbConfig?.closeConnectionsOnHostSetChange === true ? { drainsOnChange: true } : {}),
    panicThresholdPercent: wire.commonLbConfig?.healthyPanicThreshold?.value ?? PANIC_PERCENT,
    limits: limitsFromWire(wire.circuitBreakers, RoutingPriority.DEFAULT),
    highPriorityLimits: limitsFromWire(wire.circuitBreakers, RoutingPriority.HIGH),
    outlier:
      wire.outlierDetection &&
      outlierFromWire(
        wire.outlierDetection,
        scope.field("outlier_detection"),
        stages,
        metadataScope(scope.field("metadata"), OUTLIER_KEY),
      ),
    healthChecks: wire.healthChecks.map((check, index) =>
      healthCheckFromWire(check, scope.field("health_checks").at(index)),
    ),
    closeOnHealthFailure: wire.closeConnectionsOnHostHealthFailure,
    tls: upstreamTlsFromWire(wire.transportSocket, scope.field("transport_socket")),
    tlsMatches: wire.transportSocketMatches.map((item, index) => {
      const at = scope.field("transport_socket_matches").at(index);
      return {
        name: item.name,
        match: structLabels(item.match ?? {}, at.field("match")),
        tls: upstreamTlsFromWire(item.transportSocket, at.field("transport_socket")),
      };
    }),
    http,
    perConnectionBufferLimitBytes: wire.perConnectionBufferLimitBytes ?? BUFFER_LIMIT_BYTES,
    breaker: breakerFromWire(breaker, metadataScope(scope.field("metadata"), BREAKER_KEY)),
    metadata,
  };
}

/** One address of each family: which of them a connection comes from must not be a matter of chance. */
function bindFromWire(wire: BindConfig | undefined, scope: Scope): Pick<Cluster, "sourceAddresses"> {
  if (wire === undefined) return {};
  const { sourceAddress, extraSourceAddresses } = wire;
  const all = [
    { socket: sourceAddress, at: scope.field("source_address") },
    ...extraSourceAddresses.map(({ address }, index) => ({
      socket: address,
      at: scope.field("extra_source_addresses").at(index).field("address"),
    })),
  ];
  const families = new Set<number>();
  const sourceAddresses = all.map(({ socket, at }) => {
    const family = isIP(socket?.address ?? "");
    if (family === 0) at.field("address").invalid(`must be an IP address: got "${socket?.address ?? ""}"`);
    else if (families.has(family)) at.field("address").unsupported("there is one source address of a family");
    if (socket?.portSpecifier.case === "portValue" && socket.portSpecifier.value !== 0)
      at.field("port_value").unsupported("connections from one port cannot be more than one");
    families.add(family);
    return socket?.address ?? "";
  });
  return { sourceAddresses };
}

function bindToWire(
  sourceAddresses: Cluster["sourceAddresses"],
): Pick<MessageInitShape<typeof ClusterSchema>, "upstreamBindConfig"> {
  const [first, ...others] = (sourceAddresses ?? []).map((address) => ({
    address,
    portSpecifier: { case: "portValue", value: 0 } as const,
  }));
  if (first === undefined) return {};
  return {
    upstreamBindConfig: { sourceAddress: first, extraSourceAddresses: others.map((address) => ({ address })) },
  };
}

function discoveryFromWire(wire: WireCluster, mesh: JsonObject | undefined, scope: Scope): Cluster["discovery"] {
  const type = wire.clusterDiscoveryType;
  const isEds = type.case === "type" && type.value === Discovery.EDS;
  const isOriginal = type.case === "type" && type.value === Discovery.ORIGINAL_DST;
  if (!isEds && wire.edsClusterConfig !== undefined)
    scope.field("eds_cluster_config").invalid("goes with type EDS only");
  if ((isEds || isOriginal) && wire.loadAssignment !== undefined)
    scope.field("load_assignment").invalid("does not go with this type");
  if (isOriginal) return mesh === undefined ? { kind: "originalDst" } : peersFromWire(mesh, wire, scope);
  if (isEds) {
    const at = scope.field("eds_cluster_config");
    checkAdsSource(wire.edsClusterConfig?.edsConfig, at.field("eds_config"));
    const serviceName = wire.edsClusterConfig?.serviceName ?? "";
    return { kind: "eds", serviceName: serviceName === "" ? wire.name : serviceName };
  }
  const code = type.case === "type" ? type.value : Discovery.STATIC;
  const isStatic = code === Discovery.STATIC;
  const assignment = staticAssignment(wire, scope.field("load_assignment"), isStatic ? "ip" : "host");
  if (isStatic) return { kind: "static", assignment };
  const refreshMs = toMsOr(wire.dnsRefreshRate, DNS_REFRESH_MS);
  if (code === Discovery.STRICT_DNS) return { kind: "strictDns", assignment, refreshMs };
  const count = assignment.localities.reduce((sum, locality) => sum + locality.endpoints.length, 0);
  if (count !== 1)
    scope.field("load_assignment").invalid(`LOGICAL_DNS clusters must have exactly one endpoint: got ${count}`);
  return { kind: "logicalDns", assignment, refreshMs };
}

/** Taken for strangers they would be called in plaintext: what is not understood is refused. */
function peersFromWire({ identity }: JsonObject, wire: WireCluster, scope: Scope): Cluster["discovery"] {
  const at = metadataScope(scope.field("metadata"), MESH_KEY).field("identity");
  if (typeof identity !== "string" || identity === "") at.invalid(`must be a name: got ${JSON.stringify(identity)}`);
  if (wire.transportSocket === undefined) scope.field("transport_socket").invalid("must be set: peers speak TLS");
  return { kind: "originalDst", identity: typeof identity === "string" ? identity : "" };
}

function staticAssignment(wire: WireCluster, scope: Scope, kind: "ip" | "host"): ClusterLoadAssignment {
  if (wire.loadAssignment !== undefined) return assignmentFromWire(wire.loadAssignment, scope, kind);
  return { cluster: wire.name, localities: [], overprovisioningFactor: 140 };
}

export function clusterToWire(model: Cluster): WireCluster {
  const thresholds = [
    limitsToWire(model.limits, RoutingPriority.DEFAULT),
    limitsToWire(model.highPriorityLimits, RoutingPriority.HIGH),
  ].filter((item) => item !== undefined);
  const breaker = model.breaker === undefined ? {} : breakerToWire(model.breaker);
  const identity = model.discovery.kind === "originalDst" ? model.discovery.identity : undefined;
  // Every other key of the metadata is a struct: that is how it came in, and what Envoy takes.
  const metadata = metadataToWire({
    ...(model.metadata as { [key: string]: JsonObject }),
    [BREAKER_KEY]: breaker,
    [OUTLIER_KEY]: { ...model.outlier?.stages },
    [MESH_KEY]: identity === undefined ? {} : { identity },
  });
  const init: MessageInitShape<typeof ClusterSchema> = {
    name: model.name,
    altStatName: model.altStatName ?? "",
    ...discoveryToWire(model),
    ...durationUnless("connectTimeout", model.connectTimeoutMs, CONNECT_TIMEOUT_MS),
    ...bindToWire(model.sourceAddresses),
    ...balancingToWire(model),
    ...commonToWire(model),
    ...(thresholds.length === 0 ? {} : { circuitBreakers: { thresholds } }),
    ...given("outlierDetection", model.outlier && outlierToWire(model.outlier)),
    healthChecks: model.healthChecks.map(healthCheckToWire),
    closeConnectionsOnHostHealthFailure: model.closeOnHealthFailure,
    ...given("transportSocket", model.tls && upstreamTlsToWire(model.tls)),
    transportSocketMatches: model.tlsMatches.map((item) => ({
      name: item.name,
      match: { ...item.match },
      transportSocket: upstreamTlsToWire(item.tls),
    })),
    typedExtensionProtocolOptions: upstreamHttpToWire(model.http),
    ...unless("perConnectionBufferLimitBytes", model.perConnectionBufferLimitBytes, BUFFER_LIMIT_BYTES),
    ...given("metadata", metadata),
  };
  return create(ClusterSchema, init);
}

function commonToWire(model: Cluster): Pick<MessageInitShape<typeof ClusterSchema>, "commonLbConfig"> {
  const { panicThresholdPercent: value, ignoresUnchecked, drainsOnChange } = model;
  const commonLbConfig = {
    ...(value === PANIC_PERCENT ? {} : { healthyPanicThreshold: { value } }),
    ...(ignoresUnchecked === true ? { ignoreNewHostsUntilFirstHc: true } : {}),
    ...(drainsOnChange === true ? { closeConnectionsOnHostSetChange: true } : {}),
    ...commonBalancingToWire(model),
  };
  return Object.keys(commonLbConfig).length === 0 ? {} : { commonLbConfig };
}

type DiscoveryInit = Pick<
  MessageInitShape<typeof ClusterSchema>,
  "clusterDiscoveryType" | "edsClusterConfig" | "loadAssignment" | "dnsRefreshRate"
>;

function discoveryToWire(model: Cluster): DiscoveryInit {
  const { discovery } = model;
  switch (discovery.kind) {
    case "eds": {
      const serviceName = discovery.serviceName === model.name ? "" : discovery.serviceName;
      return { ...typeToWire(Discovery.EDS), edsClusterConfig: { edsConfig: adsSource(), serviceName } };
    }
    case "originalDst":
      return typeToWire(Discovery.ORIGINAL_DST);
    case "static":
      return { ...typeToWire(Discovery.STATIC), loadAssignment: assignmentToWire(discovery.assignment) };
    case "strictDns":
    case "logicalDns":
      return {
        ...typeToWire(discovery.kind === "strictDns" ? Discovery.STRICT_DNS : Discovery.LOGICAL_DNS),
        loadAssignment: assignmentToWire(discovery.assignment),
        ...durationUnless("dnsRefreshRate", discovery.refreshMs, DNS_REFRESH_MS),
      };
  }
}

function typeToWire(value: Discovery): Pick<DiscoveryInit, "clusterDiscoveryType"> {
  return { clusterDiscoveryType: { case: "type", value } };
}
