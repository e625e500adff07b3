// Messages inside messages: google.protobuf.Any and TypedStruct, packed and unpacked by the types that we have.
import {
  create,
  fromBinary,
  fromJson,
  toBinary,
  type DescMessage,
  type JsonObject,
  type JsonValue as ProtoJsonValue,
  type MessageShape,
  type Message,
} from "@bufbuild/protobuf";
import { AnySchema, type Any } from "@bufbuild/protobuf/wkt";
import type { JsonValue } from "../model/filter-config.ts";
import { HeldAny, writeJson } from "../protobuf/json.ts";
import { makeLazyRegistry } from "../protobuf/lazy-registry.ts";
import { checkMessage } from "./check.ts";
import { file_envoy_config_bootstrap_v3_bootstrap } from "./gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import { file_envoy_config_trace_v3_opentelemetry } from "./gen/envoy/config/trace/v3/opentelemetry_pb.ts";
import { file_envoy_extensions_access_loggers_file_v3_file } from "./gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import { file_envoy_extensions_access_loggers_stream_v3_stream } from "./gen/envoy/extensions/access_loggers/stream/v3/stream_pb.ts";
import { file_envoy_extensions_filters_http_cors_v3_cors } from "./gen/envoy/extensions/filters/http/cors/v3/cors_pb.ts";
import { file_envoy_extensions_filters_http_adaptive_concurrency_v3_adaptive_concurrency } from "./gen/envoy/extensions/filters/http/adaptive_concurrency/v3/adaptive_concurrency_pb.ts";
import { file_envoy_extensions_filters_http_admission_control_v3_admission_control } from "./gen/envoy/extensions/filters/http/admission_control/v3/admission_control_pb.ts";
import { file_envoy_extensions_filters_http_fault_v3_fault } from "./gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import { file_envoy_extensions_filters_http_grpc_json_transcoder_v3_transcoder } from "./gen/envoy/extensions/filters/http/grpc_json_transcoder/v3/transcoder_pb.ts";
import { file_envoy_extensions_filters_http_grpc_web_v3_grpc_web } from "./gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.ts";
import { file_envoy_extensions_filters_http_header_mutation_v3_header_mutation } from "./gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.ts";
import { file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit } from "./gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts";
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from "./gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { file_envoy_extensions_filters_http_router_v3_router } from "./gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { file_envoy_extensions_filters_http_stateful_session_v3_stateful_session } from "./gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector } from "./gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts";
import { file_envoy_extensions_filters_http_ratelimit_v3_rate_limit } from "./gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.ts";
import { file_envoy_extensions_filters_listener_local_ratelimit_v3_local_ratelimit } from "./gen/envoy/extensions/filters/listener/local_ratelimit/v3/local_ratelimit_pb.ts";
import { file_envoy_extensions_filters_network_connection_limit_v3_connection_limit } from "./gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts";
import { file_envoy_extensions_filters_listener_original_dst_v3_original_dst } from "./gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts";
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from "./gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts";
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from "./gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { file_envoy_extensions_http_header_formatters_preserve_case_v3_preserve_case } from "./gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.ts";
import { file_envoy_extensions_http_stateful_session_cookie_v3_cookie } from "./gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.ts";
import { file_envoy_extensions_http_stateful_session_header_v3_header } from "./gen/envoy/extensions/http/stateful_session/header/v3/header_pb.ts";
import { file_envoy_extensions_load_balancing_policies_client_side_weighted_round_robin_v3_client_side_weighted_round_robin } from "./gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin_pb.ts";
import { file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality } from "./gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.ts";
import { file_envoy_extensions_load_balancing_policies_cluster_provided_v3_cluster_provided } from "./gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided_pb.ts";
import { file_envoy_extensions_load_balancing_policies_least_request_v3_least_request } from "./gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.ts";
import { file_envoy_extensions_load_balancing_policies_maglev_v3_maglev } from "./gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.ts";
import { file_envoy_extensions_load_balancing_policies_random_v3_random } from "./gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.ts";
import { file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash } from "./gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.ts";
import { file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin } from "./gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.ts";
import { file_envoy_extensions_retry_host_omit_host_metadata_v3_omit_host_metadata_config } from "./gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.ts";
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts } from "./gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import { file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer } from "./gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from "./gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from "./gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import {
  file_udpa_type_v1_typed_struct,
  TypedStructSchema as UdpaTypedStructSchema,
} from "./gen/udpa/type/v1/typed_struct_pb.ts";
import { file_xds_type_v3_typed_struct, TypedStructSchema } from "./gen/xds/type/v3/typed_struct_pb.ts";
import type { Scope } from "./issues.ts";
import { typeNameOf, typeUrlOf } from "./type-urls.ts";

const ROOT_FILES = [
  file_envoy_config_bootstrap_v3_bootstrap,
  file_envoy_config_trace_v3_opentelemetry,
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_stream_v3_stream,
  file_envoy_extensions_filters_http_cors_v3_cors,
  file_envoy_extensions_filters_http_adaptive_concurrency_v3_adaptive_concurrency,
  file_envoy_extensions_filters_http_admission_control_v3_admission_control,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_grpc_json_transcoder_v3_transcoder,
  file_envoy_extensions_filters_http_grpc_web_v3_grpc_web,
  file_envoy_extensions_filters_http_header_mutation_v3_header_mutation,
  file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_http_ratelimit_v3_rate_limit,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_http_stateful_session_v3_stateful_session,
  file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector,
  file_envoy_extensions_filters_listener_local_ratelimit_v3_local_ratelimit,
  file_envoy_extensions_filters_network_connection_limit_v3_connection_limit,
  file_envoy_extensions_filters_listener_original_dst_v3_original_dst,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_http_header_formatters_preserve_case_v3_preserve_case,
  file_envoy_extensions_http_stateful_session_cookie_v3_cookie,
  file_envoy_extensions_http_stateful_session_header_v3_header,
  file_envoy_extensions_load_balancing_policies_client_side_weighted_round_robin_v3_client_side_weighted_round_robin,
  file_envoy_extensions_load_balancing_policies_cluster_provided_v3_cluster_provided,
  file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality,
  file_envoy_extensions_load_balancing_policies_least_request_v3_least_request,
  file_envoy_extensions_load_balancing_policies_maglev_v3_maglev,
  file_envoy_extensions_load_balancing_policies_random_v3_random,
  file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash,
  file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin,
  file_envoy_extensions_retry_host_omit_host_metadata_v3_omit_host_metadata_config,
  file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts,
  file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_udpa_type_v1_typed_struct,
  file_xds_type_v3_typed_struct,
];

/** Every message that we can read: those of the files above and of what they import. */
export const registry = makeLazyRegistry(ROOT_FILES);

/** Deterministic bytes: map entries by their keys, so that equal messages are equal bytes and equal versions. */
export function pack<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Any {
  return create(AnySchema, { typeUrl: typeUrlOf(schema.typeName), value: toBinary(schema, sorted(schema, message)) });
}

/** A copy of a message whose maps are in the order of their keys; protobuf-es writes them in the order of insertion. */
function sorted<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  sortMaps(schema, message);
  return message;
}

function sortMaps(schema: DescMessage, message: Message): void {
  const object = message as unknown as Record<string, unknown>;
  for (const field of schema.fields) {
    if (field.fieldKind === "scalar" || field.fieldKind === "enum") continue;
    const chosen =
      field.oneof === undefined ? undefined : (object[field.oneof.localName] as { case?: string; value?: unknown });
    const value =
      chosen === undefined ? object[field.localName] : chosen.case === field.localName ? chosen.value : undefined;
    if (value === undefined) continue;
    if (field.message?.typeName === "google.protobuf.Struct") {
      const set = sortStructs(field.fieldKind, value);
      if (chosen === undefined) object[field.localName] = set;
      else chosen.value = set;
    } else if (field.fieldKind === "map") {
      object[field.localName] = sortKeys(value as Record<string, unknown>);
      if (field.message)
        for (const item of Object.values(value as Record<string, Message>)) sortMaps(field.message, item);
    } else if (field.fieldKind === "list") {
      if (field.message) for (const item of value as readonly Message[]) sortMaps(field.message, item);
    } else if (isMessage(value)) {
      sortMaps(field.message, value);
    }
  }
}

function sortStructs(kind: "list" | "map" | "message", value: unknown): unknown {
  return kind === "message" || kind === "map"
    ? sortJson(value as JsonObject)
    : (value as readonly JsonObject[]).map(sortJson);
}

function sortJson(value: ProtoJsonValue): ProtoJsonValue {
  if (Array.isArray(value)) return value.map(sortJson);
  if (value === null || typeof value !== "object") return value;
  return sortKeys(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sortJson(item)])));
}

function sortKeys<T>(object: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "$typeName" in value;
}

/**
 * The message in an `Any` that must be of one of the given types, checked like every other. Reports and returns
 * `undefined` when it is of another type or cannot be read. `what` names the extension for the message.
 */
export function unpack<const Schemas extends readonly DescMessage[]>(
  any: Any | undefined,
  schemas: Schemas,
  scope: Scope,
  what: string,
): MessageShape<Schemas[number]> | undefined {
  if (any === undefined) {
    scope.invalid("must be set");
    return undefined;
  }
  const typeName = typeNameOf(any.typeUrl);
  const schema = schemas.find((candidate) => candidate.typeName === typeName);
  if (schema === undefined) {
    scope.unsupported(`Didn't find a registered implementation for '${what}' with type URL: '${any.typeUrl}'`);
    return undefined;
  }
  const message = tryRead(schema, any, scope);
  if (message !== undefined) checkMessage(schema, message, scope);
  return message as MessageShape<Schemas[number]> | undefined;
}

/** What an `Any` of this type holds. Throws where its bytes are not that. */
export function readAny<Desc extends DescMessage>(schema: Desc, any: Any): MessageShape<Desc> {
  if (any instanceof HeldAny && any.schema === schema) return any.message as MessageShape<Desc>; // as: its schema
  return fromBinary(schema, any.value);
}

function tryRead(schema: DescMessage, any: Any, scope: Scope): Message | undefined {
  try {
    return readAny(schema, any);
  } catch (error) {
    scope.invalid(`cannot be read as ${schema.typeName}: ${String(error)}`);
    return undefined;
  }
}

/** An extension's configuration as JSON, by the type URL that it really has: TypedStruct stands for what is in it. */
export interface TypedJson {
  readonly typeUrl: string;
  readonly config: JsonValue;
}

/** `undefined`, and a report, when the bytes are not what the type URL says. Types that we do not know have config `null`. */
export function readTypedJson(any: Any, scope: Scope): TypedJson | undefined {
  const typeName = typeNameOf(any.typeUrl);
  if (typeName === TypedStructSchema.typeName || typeName === UdpaTypedStructSchema.typeName) {
    const typed = unpack(any, [TypedStructSchema, UdpaTypedStructSchema], scope, typeName);
    return typed && { typeUrl: typed.typeUrl, config: typed.value ?? {} };
  }
  const schema = registry.getMessage(typeName);
  if (schema === undefined) return { typeUrl: any.typeUrl, config: null };
  const message = tryRead(schema, any, scope);
  return message && { typeUrl: typeUrlOf(typeName), config: writeJson(schema, message, registry) };
}

/** The way back: an Envoy message as itself, everything else as TypedStruct. */
export function writeTypedJson(typed: TypedJson): Any {
  const schema = registry.getMessage(typeNameOf(typed.typeUrl));
  // A JsonValue of the model is readonly; protobuf-es only reads it.
  const config = typed.config as ProtoJsonValue;
  if (schema !== undefined) return pack(schema, fromJson(schema, config, { registry }));
  const value = config as JsonObject;
  return pack(TypedStructSchema, create(TypedStructSchema, { typeUrl: typed.typeUrl, value }));
}
