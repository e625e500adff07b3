// ClusterLoadAssignment: the instances of a cluster, message <-> model.
import { create, type JsonObject } from "@bufbuild/protobuf";
import { isIP } from "node:net";
import type { ClusterLoadAssignment, Endpoint, EndpointHealth, LocalityEndpoints, MeshHop } from "../model/endpoint.ts";
import { addressFromWire, addressToWire } from "./address.ts";
import { given, unless } from "./fields.ts";
import {
  ClusterLoadAssignmentSchema,
  type ClusterLoadAssignment as WireAssignment,
} from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
  type LbEndpoint,
  type LocalityLbEndpoints,
} from "./gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import { HealthStatus } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import type { Scope } from "./issues.ts";
import { LB_KEY, MESH_KEY, TRANSPORT_SOCKET_KEY } from "./metadata-keys.ts";
import { labelsFromWire, metadataScope, metadataToWire } from "./metadata.ts";

/** Envoy: priorities spill over when fewer than 1/1.4 of their endpoints are healthy. */
const OVERPROVISIONING_FACTOR = 140;

/** In the order of the numbers on the wire. */
const HEALTH = [
  "unknown",
  "healthy",
  "unhealthy",
  "draining",
  "timeout",
  "degraded",
] as const satisfies readonly EndpointHealth[];

/** `host`: addresses may be names (DNS clusters). */
export function assignmentFromWire(wire: WireAssignment, scope: Scope, kind: "ip" | "host"): ClusterLoadAssignment {
  const at = scope.field("endpoints");
  const localities = wire.endpoints.map((locality, index) => localityFromWire(locality, at.at(index), kind));
  checkPriorities(localities, at);
  return {
    cluster: wire.clusterName,
    localities,
    overprovisioningFactor: wire.policy?.overprovisioningFactor ?? OVERPROVISIONING_FACTOR,
  };
}

/** Priorities go from 0 without a gap; a locality without endpoints holds its place too. */
function checkPriorities(localities: readonly LocalityEndpoints[], scope: Scope): void {
  const seen = new Set(localities.map((locality) => locality.priority));
  for (let priority = 0; priority < seen.size; priority++) {
    if (!seen.has(priority)) {
      scope.invalid(`priorities must be contiguous from 0: ${priority} is missing`);
      return;
    }
  }
}

function localityFromWire(wire: LocalityLbEndpoints, scope: Scope, kind: "ip" | "host"): LocalityEndpoints {
  return {
    region: wire.locality?.region ?? "",
    zone: wire.locality?.zone ?? "",
    subZone: wire.locality?.subZone ?? "",
    priority: wire.priority,
    // Where localities are weighed one without a weight gets nothing, as in Envoy.
    weight: wire.loadBalancingWeight ?? 0,
    endpoints: wire.lbEndpoints.map((item, index) =>
      endpointFromWire(item, scope.field("lb_endpoints").at(index), kind),
    ),
  };
}

function endpointFromWire(wire: LbEndpoint, scope: Scope, kind: "ip" | "host"): Endpoint {
  const endpoint = wire.hostIdentifier.case === "endpoint" ? wire.hostIdentifier.value : undefined;
  if (endpoint === undefined) scope.field("endpoint").invalid("must be set");
  const onWire = addressFromWire(endpoint?.address, scope.field("endpoint").field("address"), kind);
  const metadata = scope.field("metadata");
  const hop = wire.metadata?.filterMetadata[MESH_KEY];
  const behind = hop === undefined ? undefined : hopFromWire(hop, onWire, metadataScope(metadata, MESH_KEY));
  return {
    address: behind?.address ?? onWire.address,
    port: behind?.port ?? onWire.port,
    hostname: endpoint?.hostname ?? "",
    health: HEALTH[wire.healthStatus] ?? "unknown",
    weight: wire.loadBalancingWeight ?? 1,
    labels: labelsFromWire(wire.metadata, LB_KEY, metadata),
    transportSocket: labelsFromWire(wire.metadata, TRANSPORT_SOCKET_KEY, metadata),
    mesh: behind?.mesh ?? { kind: "none" },
    ...healthCheckPortFromWire(endpoint?.healthCheckConfig?.portValue ?? 0, scope),
  };
}

/** 0 is the endpoint's own, as in Envoy. */
function healthCheckPortFromWire(port: number, scope: Scope): Pick<Endpoint, "healthCheckPort"> {
  if (port > 65535)
    scope.field("endpoint").field("health_check_config").field("port_value").invalid(`must be a port: got ${port}`);
  return port === 0 ? {} : { healthCheckPort: port };
}

interface BehindSidecar {
  /** Where the application itself listens. */
  readonly address: string;
  readonly port: number;
  readonly mesh: MeshHop;
}

/**
 * `heddle.mesh` is `{ address, port, inboundAddress, inboundPort, identity, version }`. The endpoint's own address on the wire is
 * the inbound one, so that an Envoy reaches the sidecar; the application's is only here.
 */
function hopFromWire(
  hop: JsonObject,
  onWire: { address: string; port: number },
  scope: Scope,
): BehindSidecar | undefined {
  const text = (name: string, fallback: string): string => {
    const value = hop[name] ?? fallback;
    if (typeof value === "string") return value;
    scope.field(name).invalid(`must be a string: got ${JSON.stringify(value)}`);
    return fallback;
  };
  const port = (name: string, fallback: number): number => {
    const value = hop[name] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65535) return value;
    scope.field(name).invalid(`must be a port: got ${JSON.stringify(value)}`);
    return fallback;
  };
  const identity = text("identity", "");
  if (identity === "") scope.field("identity").invalid("must be set: a peer without an identity cannot be verified");
  const inboundAddress = text("inboundAddress", onWire.address);
  if (isIP(inboundAddress) === 0)
    scope.field("inboundAddress").invalid(`must be an IP address: got "${inboundAddress}"`);
  return {
    address: text("address", onWire.address),
    port: port("port", onWire.port),
    mesh: {
      kind: "peer",
      inboundAddress,
      inboundPort: port("inboundPort", onWire.port),
      identity,
      version: text("version", ""),
    },
  };
}

export function assignmentToWire(model: ClusterLoadAssignment): WireAssignment {
  const factor = model.overprovisioningFactor;
  return create(ClusterLoadAssignmentSchema, {
    clusterName: model.cluster,
    endpoints: model.localities.map(localityToWire),
    ...(factor === OVERPROVISIONING_FACTOR ? {} : { policy: { overprovisioningFactor: factor } }),
  });
}

/** Locality and weight are always said: gRPC ignores a locality without them (xDS in practice, 2). */
function localityToWire(model: LocalityEndpoints): LocalityLbEndpoints {
  return create(LocalityLbEndpointsSchema, {
    locality: { region: model.region, zone: model.zone, subZone: model.subZone },
    priority: model.priority,
    ...unless("loadBalancingWeight", model.weight, 0),
    lbEndpoints: model.endpoints.map(endpointToWire),
  });
}

function endpointToWire(model: Endpoint): LbEndpoint {
  const { mesh } = model;
  const address =
    mesh.kind === "peer"
      ? { address: mesh.inboundAddress, port: mesh.inboundPort }
      : { address: model.address, port: model.port };
  const hop =
    mesh.kind === "none"
      ? {}
      : {
          address: model.address,
          port: model.port,
          inboundAddress: mesh.inboundAddress,
          inboundPort: mesh.inboundPort,
          identity: mesh.identity,
          version: mesh.version,
        };
  const keys = { [LB_KEY]: model.labels, [TRANSPORT_SOCKET_KEY]: model.transportSocket, [MESH_KEY]: hop };
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: "endpoint",
      value: {
        address: addressToWire(address),
        hostname: model.hostname,
        ...(model.healthCheckPort === undefined ? {} : { healthCheckConfig: { portValue: model.healthCheckPort } }),
      },
    },
    healthStatus: HEALTH.indexOf(model.health) satisfies number as HealthStatus,
    ...unless("loadBalancingWeight", model.weight, 1),
    ...given("metadata", metadataToWire(keys)),
  });
}
