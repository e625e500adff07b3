// Tracing of a listener's requests, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { TracingConfig } from "../model/telemetry.ts";
import { pack, unpack } from "./any.ts";
import { fromMs } from "./duration.ts";
import { OpenTelemetryConfigSchema, type OpenTelemetryConfig } from "./gen/envoy/config/trace/v3/opentelemetry_pb.ts";
import {
  HttpConnectionManager_TracingSchema,
  type HttpConnectionManager_Tracing,
} from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { Percent } from "./gen/envoy/type/v3/percent_pb.ts";
import type { Scope } from "./issues.ts";

/** What Envoy waits for a collector when nothing is said; HttpUri has no default and must say it. */
const EXPORT_TIMEOUT_MS = 10_000;

type Exporter = NonNullable<TracingConfig["exporter"]>;

export function tracingFromWire(
  wire: HttpConnectionManager_Tracing | undefined,
  scope: Scope,
): TracingConfig | undefined {
  if (wire === undefined) return undefined;
  const { provider } = wire;
  const at = scope.field("provider").field("typed_config");
  const config = provider && unpack(provider.configType.value, [OpenTelemetryConfigSchema], at, provider.name);
  return {
    randomSampling: percent(wire.randomSampling),
    exporter: config && exporterFromWire(config, at),
  };
}

/** Envoy: what is not said is 100 %. */
function percent(wire: Percent | undefined): number {
  return wire?.value ?? 100;
}

function exporterFromWire(wire: OpenTelemetryConfig, scope: Scope): Exporter | undefined {
  const serviceName = wire.serviceName === "" ? "unknown_service:envoy" : wire.serviceName;
  const http = wire.httpService?.httpUri;
  if (http !== undefined) {
    const cluster = http.httpUpstreamType.value ?? "";
    return { kind: "otlp", cluster, endpoint: http.uri, protocol: "http", serviceName };
  }
  const grpc = wire.grpcService?.targetSpecifier;
  if (grpc?.case !== "envoyGrpc") {
    if (grpc === undefined) scope.invalid("one of grpc_service, http_service must be set");
    return undefined;
  }
  return {
    kind: "otlp",
    cluster: grpc.value.clusterName,
    endpoint: grpc.value.authority,
    protocol: "grpc",
    serviceName,
  };
}

export function tracingToWire(model: TracingConfig): HttpConnectionManager_Tracing {
  const { exporter } = model;
  const typedConfig = exporter && pack(OpenTelemetryConfigSchema, exporterToWire(exporter));
  return create(HttpConnectionManager_TracingSchema, {
    ...shareToWire("randomSampling", model.randomSampling),
    ...(typedConfig === undefined
      ? {}
      : {
          provider: {
            name: "envoy.tracers.opentelemetry",
            configType: { case: "typedConfig", value: typedConfig } as const,
          },
        }),
  });
}

function shareToWire(name: string, percentage: number): object {
  return percentage === 100 ? {} : { [name]: { value: percentage } };
}

function exporterToWire(model: Exporter): OpenTelemetryConfig {
  if (model.protocol === "http") {
    const httpUri = {
      uri: model.endpoint,
      httpUpstreamType: { case: "cluster", value: model.cluster } as const,
      timeout: fromMs(EXPORT_TIMEOUT_MS),
    };
    return create(OpenTelemetryConfigSchema, { serviceName: model.serviceName, httpService: { httpUri } });
  }
  return create(OpenTelemetryConfigSchema, {
    serviceName: model.serviceName,
    grpcService: {
      targetSpecifier: { case: "envoyGrpc", value: { clusterName: model.cluster, authority: model.endpoint } },
      timeout: fromMs(EXPORT_TIMEOUT_MS),
    },
  });
}
