// TcpProxy: opaque bytes to a cluster, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { TcpProxy } from "../model/listener.ts";
import { accessLogToWire, accessLogsFromWire } from "./access-log.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, unless } from "./fields.ts";
import {
  TcpProxySchema,
  type TcpProxy as WireTcpProxy,
} from "./gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import type { Scope } from "./issues.ts";

const IDLE_TIMEOUT_MS = 3_600_000;

export function tcpProxyFromWire(wire: WireTcpProxy, scope: Scope): TcpProxy {
  return {
    statPrefix: wire.statPrefix,
    clusters: clustersFromWire(wire.clusterSpecifier),
    idleTimeoutMs: toMsOr(wire.idleTimeout, IDLE_TIMEOUT_MS),
    maxConnectAttempts: wire.maxConnectAttempts ?? 1,
    accessLogs: accessLogsFromWire(wire.accessLog, scope.field("access_log")),
  };
}

function clustersFromWire(specifier: WireTcpProxy["clusterSpecifier"]): TcpProxy["clusters"] {
  if (specifier.case === "cluster") return [{ name: specifier.value, weight: 1 }];
  if (specifier.case === undefined) return [];
  return specifier.value.clusters.map(({ name, weight }) => ({ name, weight }));
}

export function tcpProxyToWire(model: TcpProxy): WireTcpProxy {
  const [first, ...rest] = model.clusters;
  // A single cluster's weight says nothing and has no place in the short form.
  const isSingle = first !== undefined && rest.length === 0 && first.weight === 1;
  return create(TcpProxySchema, {
    statPrefix: model.statPrefix,
    clusterSpecifier: isSingle
      ? { case: "cluster", value: first.name }
      : { case: "weightedClusters", value: { clusters: [...model.clusters] } },
    ...durationUnless("idleTimeout", model.idleTimeoutMs, IDLE_TIMEOUT_MS),
    ...unless("maxConnectAttempts", model.maxConnectAttempts, 1),
    accessLog: model.accessLogs.map(accessLogToWire),
  });
}
