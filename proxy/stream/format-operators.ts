// Envoy's command operators: what each of them reads from an exchange. One that Heddle has no value for is refused when the format
// is compiled, never left empty. Source: Envoy docs, "Access logging: command operators".
import os from "node:os";

import { formatAddress } from "#config/model/address.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";
import { compileStartTime } from "./format-time.ts";

export type FormatValue = string | number | boolean | undefined;
export type Operator = (exchange: HttpExchange) => FormatValue;

const SIMPLE: Readonly<Record<string, Operator>> = {
  PROTOCOL: (exchange) => (exchange.connection.protocol === "http2" ? "HTTP/2" : "HTTP/1.1"),
  RESPONSE_CODE: (exchange) => exchange.status,
  RESPONSE_CODE_DETAILS: (exchange) => exchange.localReply?.code ?? (exchange.status > 0 ? "via_upstream" : undefined),
  RESPONSE_FLAGS: (exchange) => (exchange.flags.length === 0 ? "-" : exchange.flags.join(",")),
  BYTES_RECEIVED: (exchange) => exchange.requestBytes,
  BYTES_SENT: (exchange) => exchange.responseBytes,
  DURATION: (exchange) => (exchange.endMs === 0 ? undefined : Math.round(exchange.endMs - exchange.startMs)),
  RESPONSE_DURATION: (exchange) =>
    exchange.responseHeadMs === 0 ? undefined : Math.round(exchange.responseHeadMs - exchange.startMs),
  RESPONSE_TX_DURATION: (exchange) =>
    exchange.responseHeadMs === 0 || exchange.endMs === 0
      ? undefined
      : Math.round(exchange.endMs - exchange.responseHeadMs),
  UPSTREAM_HOST: upstreamAddress,
  UPSTREAM_REMOTE_ADDRESS: upstreamAddress,
  UPSTREAM_LOCAL_ADDRESS(exchange) {
    const connection = exchange.attempts.at(-1)?.connection;
    return connection === undefined ? undefined : writeAddress(connection.localAddress, connection.localPort);
  },
  UPSTREAM_CLUSTER: (exchange) => exchange.cluster?.altStatName ?? exchange.cluster?.name,
  UPSTREAM_CLUSTER_RAW: (exchange) => exchange.cluster?.name,
  UPSTREAM_TRANSPORT_FAILURE_REASON: transportFailure,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (exchange) => exchange.attempts.length,
  UPSTREAM_PEER_URI_SAN: (exchange) => exchange.attempts.at(-1)?.connection?.peerIdentity,
  ROUTE_NAME: (exchange) => exchange.route?.name,
  DOWNSTREAM_REMOTE_ADDRESS: clientAddress,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (exchange) => exchange.clientAddress,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ({ connection }) => writeAddress(connection.remoteAddress, connection.remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (exchange) => exchange.connection.remoteAddress,
  DOWNSTREAM_LOCAL_ADDRESS: ({ connection }) => writeAddress(connection.localAddress, connection.localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (exchange) => exchange.connection.localAddress,
  DOWNSTREAM_LOCAL_PORT: (exchange) => exchange.connection.localPort,
  DOWNSTREAM_PEER_URI_SAN: (exchange) => exchange.connection.peerIdentity,
  DOWNSTREAM_LOCAL_URI_SAN: (exchange) => exchange.connection.localIdentity,
  GRPC_STATUS_NUMBER: (exchange) => exchange.grpcStatus,
  TRACE_ID: (exchange) => (exchange.trace.traceId === "" ? undefined : exchange.trace.traceId),
  STREAM_ID: (exchange) => exchange.requestId,
  HOSTNAME: () => os.hostname(),
};

/** Throws when there is no such operator, or not with this argument. `limit`: most characters. */
export function makeOperator(name: string, argument: string | undefined, limit: number | undefined): Operator {
  const operator = findOperator(name, argument ?? "");
  if (operator === undefined) throw new Error(`Cannot use the operator %${name}%: it is not known`);
  if (operator === SIMPLE[name] && argument !== undefined)
    throw new Error(`Cannot use the operator %${name}(${argument})%: it takes no argument`);
  if (limit === undefined) return operator;
  return (exchange) => {
    const value = operator(exchange);
    return typeof value === "string" ? value.slice(0, limit) : value;
  };
}

function findOperator(name: string, argument: string): Operator | undefined {
  switch (name) {
    case "REQ":
      return header((exchange) => exchange.request, argument);
    case "RESP":
      return header((exchange) => exchange.response, argument);
    case "START_TIME":
      return compileStartTime(argument);
    case "GRPC_STATUS":
      return grpcStatus(argument);
    case "DYNAMIC_METADATA":
      return metadata(argument);
    default:
      return SIMPLE[name];
  }
}

/** `A?B`: B where there is no A. */
function header(pick: (exchange: HttpExchange) => HeaderBlock | undefined, argument: string): Operator {
  const [first = "", second, ...more] = argument.split("?").map((name) => name.trim().toLowerCase());
  if (first === "" || more.length > 0)
    throw new Error(`Cannot use "${argument}" in %REQ()% or %RESP()%: it must name one header, or two as A?B`);
  // No message has a pseudo-header twice: the first is all.
  if (second === undefined && first.startsWith(":")) return (exchange) => pick(exchange)?.get(first);
  return (exchange) => {
    const block = pick(exchange);
    return block?.getJoined(first) ?? (second === undefined ? undefined : block?.getJoined(second));
  };
}

/** gRPC's names, by number (grpc/doc/statuscodes.md). */
const GRPC_NAMES: readonly string[] =
  "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated".split(
    " ",
  );

function grpcStatus(argument: string): Operator {
  const write = {
    "": (name: string): FormatValue => name,
    CAMEL_STRING: (name: string): FormatValue => name,
    SNAKE_STRING: (name: string): FormatValue =>
      name === "OK" ? name : name.replaceAll(/(?!^)([A-Z])/g, "_$1").toUpperCase(),
    NUMBER: (_name: string, status: number): FormatValue => status,
  }[argument];
  if (write === undefined)
    throw new Error(`Cannot use %GRPC_STATUS(${argument})%: it must be CAMEL_STRING, SNAKE_STRING or NUMBER`);
  return ({ grpcStatus: status }) =>
    status === undefined ? undefined : write(GRPC_NAMES[status] ?? String(status), status);
}

/** `%DYNAMIC_METADATA(heddle:x)%`: what Envoy has no operator for (and leaves empty); other keys are notes that filters made. */
function metadata(argument: string): Operator {
  const [namespace, key = ""] = argument.split(":");
  if (namespace !== "heddle")
    throw new Error(
      `Cannot use %DYNAMIC_METADATA(${argument})%: there is no metadata but that of the namespace heddle`,
    );
  switch (key) {
    case "attempt_times_ms":
      return (exchange) =>
        exchange.attempts.map((attempt) => Math.round((attempt.startMs - exchange.startMs) * 1000) / 1000).join(",");
    case "config_version":
      return (exchange) => exchange.service.version;
    case "direction":
      return (exchange) => exchange.connection.direction;
    case "detail":
      return (exchange) => exchange.localReply?.detail;
    case "rule":
      return (exchange) => exchange.localReply?.rule;
    default:
      return (exchange) => exchange.notes.get(key);
  }
}

/** The endpoint that was written last, and its text: mostly the next one's too. */
let knownEndpoint: Endpoint | undefined;
let knownAddress = "";

function upstreamAddress(exchange: HttpExchange): FormatValue {
  const endpoint = exchange.attempts.at(-1)?.endpoint;
  if (endpoint === undefined) return undefined;
  if (endpoint !== knownEndpoint) {
    knownEndpoint = endpoint;
    knownAddress = formatAddress(endpoint);
  }
  return knownAddress;
}

/** Why the last attempt got no connection. */
function transportFailure(exchange: HttpExchange): FormatValue {
  const outcome = exchange.attempts.at(-1)?.outcome;
  if (outcome?.kind !== "failure") return undefined;
  const { reason, detail } = outcome;
  return reason === "tls" || reason === "connect-failure" || reason === "connect-timeout" ? detail : undefined;
}

/** The client that is believed; of one behind proxies no port is known (Envoy writes 0). */
function clientAddress(exchange: HttpExchange): FormatValue {
  const { connection } = exchange;
  const address = exchange.clientAddress;
  return writeAddress(address, address === connection.remoteAddress ? connection.remotePort : 0);
}

function writeAddress(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
