// HealthCheck: how endpoints are asked whether they are well, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HealthCheck } from "../model/cluster.ts";
import { fromMs, toMsOr } from "./duration.ts";
import { durationUnless, given } from "./fields.ts";
import { RequestMethod } from "./gen/envoy/config/core/v3/base_pb.ts";
import {
  HealthCheckSchema,
  type HealthCheck as WireCheck,
  type HealthCheck_Payload,
  type HealthCheck_PayloadSchema,
} from "./gen/envoy/config/core/v3/health_check_pb.ts";
import { CodecClientType } from "./gen/envoy/type/v3/http_pb.ts";
import type { Int64Range } from "./gen/envoy/type/v3/range_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy: an endpoint without traffic is asked once a minute. */
const NO_TRAFFIC_INTERVAL_MS = 60_000;
/** Envoy: only 200 is well; the end is exclusive. */
const EXPECTED = [{ start: 200, end: 201 }];

const METHODS = Object.entries(RequestMethod).filter(([name]) => name !== "METHOD_UNSPECIFIED");

/** The durations that may be absent: the model's name and the wire's. */
const INTERVALS = {
  initialJitterMs: "initialJitter",
  noTrafficHealthyIntervalMs: "noTrafficHealthyInterval",
  unhealthyIntervalMs: "unhealthyInterval",
  unhealthyEdgeIntervalMs: "unhealthyEdgeInterval",
  healthyEdgeIntervalMs: "healthyEdgeInterval",
} as const satisfies { readonly [model in keyof HealthCheck]?: keyof WireCheck };

const INTERVAL_NAMES = Object.keys(INTERVALS) as readonly (keyof typeof INTERVALS)[];

export function healthCheckFromWire(wire: WireCheck, scope: Scope): HealthCheck {
  const intervals = INTERVAL_NAMES.flatMap((name) => {
    const value = wire[INTERVALS[name]];
    return value === undefined ? [] : [[name, toMsOr(value, 0)]];
  });
  return {
    timeoutMs: toMsOr(wire.timeout, 0),
    intervalMs: toMsOr(wire.interval, 0),
    jitterMs: toMsOr(wire.intervalJitter, 0),
    noTrafficIntervalMs: toMsOr(wire.noTrafficInterval, NO_TRAFFIC_INTERVAL_MS),
    ...(Object.fromEntries(intervals) as Partial<HealthCheck>), // as: by INTERVALS each is a duration of the model
    ...(wire.intervalJitterPercent === 0 ? {} : { jitterPercent: wire.intervalJitterPercent }),
    ...(wire.reuseConnection === false ? { reuseConnection: false } : {}),
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
      const statuses = value.expectedStatuses.map(toStatusRange);
      const retriable = value.retriableStatuses.map(toStatusRange);
      return {
        kind: "http",
        path: value.path,
        host: value.host,
        method: METHODS.find(([, code]) => code === value.method)?.[0] ?? "GET",
        http2: value.codecClientType === CodecClientType.HTTP2,
        expectedStatuses: statuses.length === 0 ? EXPECTED : statuses,
        ...(retriable.length === 0 ? {} : { retriableStatuses: retriable }),
      };
    }
    case "grpcHealthCheck":
      return { kind: "grpc", serviceName: checker.value.serviceName, authority: checker.value.authority };
    case "tcpHealthCheck": {
      const at = scope.field("tcp_health_check");
      const { send, receive } = checker.value;
      return {
        kind: "tcp",
        ...(send === undefined ? {} : { send: payloadFromWire(send, at.field("send")) }),
        ...(receive.length === 0
          ? {}
          : { receive: receive.map((item, index) => payloadFromWire(item, at.field("receive").at(index))) }),
      };
    }
    case "customHealthCheck":
    case undefined:
      return { kind: "tcp" };
  }
}

function toStatusRange({ start, end }: Int64Range): { readonly start: number; readonly end: number } {
  return { start: Number(start), end: Number(end) };
}

/** Text is hex, as in Envoy. */
function payloadFromWire({ payload }: HealthCheck_Payload, scope: Scope): string {
  if (payload.case === "binary") return Buffer.from(payload.value).toString("hex");
  const text = payload.value ?? "";
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(text)) scope.field("text").invalid(`must be bytes in hex: got "${text}"`);
  return text.toLowerCase();
}

function payloadToWire(hex: string): MessageInitShape<typeof HealthCheck_PayloadSchema> {
  return { payload: { case: "text", value: hex } };
}

export function healthCheckToWire(model: HealthCheck): WireCheck {
  return create(HealthCheckSchema, {
    timeout: fromMs(model.timeoutMs),
    interval: fromMs(model.intervalMs),
    ...durationUnless("intervalJitter", model.jitterMs, 0),
    ...durationUnless("noTrafficInterval", model.noTrafficIntervalMs, NO_TRAFFIC_INTERVAL_MS),
    ...Object.fromEntries(
      INTERVAL_NAMES.flatMap((name) => {
        const value = model[name];
        return value === undefined ? [] : [[INTERVALS[name], fromMs(value)]];
      }),
    ),
    intervalJitterPercent: model.jitterPercent ?? 0,
    ...given("reuseConnection", model.reuseConnection),
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
      const expectedStatuses = model.expectedStatuses.map(fromStatusRange);
      const retriableStatuses = (model.retriableStatuses ?? []).map(fromStatusRange);
      const method = METHODS.find(([name]) => name === model.method)?.[1] ?? RequestMethod.GET;
      const codecClientType = model.http2 ? CodecClientType.HTTP2 : CodecClientType.HTTP1;
      return {
        case: "httpHealthCheck",
        value: { path: model.path, host: model.host, method, codecClientType, expectedStatuses, retriableStatuses },
      };
    }
    case "grpc":
      return { case: "grpcHealthCheck", value: { serviceName: model.serviceName, authority: model.authority } };
    case "tcp":
      return {
        case: "tcpHealthCheck",
        value: {
          ...given("send", model.send === undefined ? undefined : payloadToWire(model.send)),
          receive: (model.receive ?? []).map(payloadToWire),
        },
      };
  }
}

function fromStatusRange({ start, end }: { readonly start: number; readonly end: number }) {
  return { start: BigInt(start), end: BigInt(end) };
}
