// HealthCheck: how endpoints are asked whether they are well, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HealthCheck } from "../model/cluster.ts";
import { fromMs, toMsOr } from "./duration.ts";
import { durationUnless } from "./fields.ts";
import { RequestMethod } from "./gen/envoy/config/core/v3/base_pb.ts";
import { HealthCheckSchema, type HealthCheck as WireCheck } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import { CodecClientType } from "./gen/envoy/type/v3/http_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy: an endpoint without traffic is asked once a minute. */
const NO_TRAFFIC_INTERVAL_MS = 60_000;
/** Envoy: only 200 is well; the end is exclusive. */
const EXPECTED = [{ start: 200, end: 201 }];

const METHODS = Object.entries(RequestMethod).filter(([name]) => name !== "METHOD_UNSPECIFIED");

export function healthCheckFromWire(wire: WireCheck, scope: Scope): HealthCheck {
  const { interval, noTrafficInterval } = wire;
  if (noTrafficInterval !== undefined && toMsOr(noTrafficInterval, 0) !== toMsOr(interval, 0))
    scope
      .field("no_traffic_interval")
      .unsupported("must be as interval: endpoints are checked with traffic or without");
  return {
    timeoutMs: toMsOr(wire.timeout, 0),
    intervalMs: toMsOr(wire.interval, 0),
    jitterMs: toMsOr(wire.intervalJitter, 0),
    noTrafficIntervalMs: toMsOr(wire.noTrafficInterval, NO_TRAFFIC_INTERVAL_MS),
    unhealthyThreshold: wire.unhealthyThreshold ?? 1,
    healthyThreshold: wire.healthyThreshold ?? 1,
    check: checkFromWire(wire.healthChecker, scope),
  };
}

function checkFromWire(checker: WireCheck["healthChecker"], scope: Scope): HealthCheck["check"] {
  switch (checker.case) {
    case "httpHealthCheck": {
      const { value } = checker;
      const at = scope.field("http_health_check");
      if (value.codecClientType === CodecClientType.HTTP3)
        at.field("codec_client_type").unsupported("HTTP3 is not supported");
      if (value.method === RequestMethod.CONNECT) at.field("method").invalid("CONNECT is no way to ask for health");
      const statuses = value.expectedStatuses.map((range) => ({ start: Number(range.start), end: Number(range.end) }));
      return {
        kind: "http",
        path: value.path,
        host: value.host,
        method: METHODS.find(([, code]) => code === value.method)?.[0] ?? "GET",
        http2: value.codecClientType === CodecClientType.HTTP2,
        expectedStatuses: statuses.length === 0 ? EXPECTED : statuses,
      };
    }
    case "grpcHealthCheck":
      return { kind: "grpc", serviceName: checker.value.serviceName, authority: checker.value.authority };
    case "tcpHealthCheck":
    case "customHealthCheck":
    case undefined:
      return { kind: "tcp" };
  }
}

export function healthCheckToWire(model: HealthCheck): WireCheck {
  return create(HealthCheckSchema, {
    timeout: fromMs(model.timeoutMs),
    interval: fromMs(model.intervalMs),
    ...durationUnless("intervalJitter", model.jitterMs, 0),
    ...durationUnless("noTrafficInterval", model.noTrafficIntervalMs, NO_TRAFFIC_INTERVAL_MS),
    unhealthyThreshold: model.unhealthyThreshold,
    healthyThreshold: model.healthyThreshold,
    healthChecker: checkToWire(model.check),
  });
}

function checkToWire(
  model: HealthCheck["check"],
): NonNullable<MessageInitShape<typeof HealthCheckSchema>["healthChecker"]> {
  switch (model.kind) {
    case "http": {
      const expectedStatuses = model.expectedStatuses.map(({ start, end }) => ({
        start: BigInt(start),
        end: BigInt(end),
      }));
      const method = METHODS.find(([name]) => name === model.method)?.[1] ?? RequestMethod.GET;
      const codecClientType = model.http2 ? CodecClientType.HTTP2 : CodecClientType.HTTP1;
      return {
        case: "httpHealthCheck",
        value: { path: model.path, host: model.host, method, codecClientType, expectedStatuses },
      };
    }
    case "grpc":
      return { case: "grpcHealthCheck", value: { serviceName: model.serviceName, authority: model.authority } };
    case "tcp":
      return { case: "tcpHealthCheck", value: {} };
  }
}
