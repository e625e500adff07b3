// Who a proxy says it is.
import type { Node } from "#config/xds/gen/envoy/config/core/v3/base_pb.ts";
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { Dialect } from "../mesh/resources.ts";

/** The node of the first request of a stream in the model's words. */
export function toNodeInfo(node: Node): NodeInfo {
  return {
    id: node.id,
    cluster: node.cluster,
    region: node.locality?.region ?? "",
    zone: node.locality?.zone ?? "",
    subZone: node.locality?.subZone ?? "",
    metadata: node.metadata ?? {},
  };
}

/** By the program's name, since one bootstrap file runs an Envoy as well as a Heddle; `GENERATOR: grpc` is Istio's word. */
export function dialectOf(node: Node): Dialect {
  const agent = node.userAgentName.toLowerCase();
  if (agent === "heddle") return "heddle";
  if (agent.startsWith("grpc") || node.metadata?.["GENERATOR"] === "grpc") return "grpc";
  return "envoy";
}

/** The program and its version, for people. */
export function agentOf(node: Node): string {
  const version = node.userAgentVersionType;
  if (version.case === "userAgentVersion") return `${node.userAgentName} ${version.value}`;
  if (version.case !== "userAgentBuildVersion") return node.userAgentName;
  const { majorNumber = 0, minorNumber = 0, patch = 0 } = version.value.version ?? {};
  return `${node.userAgentName} ${majorNumber}.${minorNumber}.${patch}`;
}
