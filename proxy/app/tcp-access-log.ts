// Envoy's command operators over an opaque connection. Source: Envoy docs, "Access logging: command operators", the TCP parts.
import { formatAddress } from "#config/model/address.ts";
import type { JsonValue } from "#config/model/filter-config.ts";
import type { AccessLog } from "#config/model/telemetry.ts";

import type { TcpRecord } from "./tcp-record.ts";

type Value = string | number | undefined;
type Operator = (record: TcpRecord) => Value;

const remoteOf: Operator = ({ remoteAddress: address, remotePort: port }) => formatAddress({ address, port });

const SIMPLE: Readonly<Record<string, Operator>> = {
  START_TIME: (record) => new Date(record.startWallMs).toISOString(),
  DURATION: (record) => Math.round(record.durationMs),
  BYTES_RECEIVED: (record) => record.bytesIn,
  BYTES_SENT: (record) => record.bytesOut,
  PROTOCOL: () => undefined,
  RESPONSE_CODE: () => 0,
  RESPONSE_FLAGS: (record) => (record.flags.length === 0 ? "-" : record.flags.join(",")),
  CONNECTION_TERMINATION_DETAILS: (record) => record.failure,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (record) => (record.flags.includes("UF") ? record.failure : undefined),
  UPSTREAM_HOST: (record) => record.upstreamHost,
  UPSTREAM_CLUSTER: (record) => record.cluster,
  UPSTREAM_CLUSTER_RAW: (record) => record.cluster,
  UPSTREAM_LOCAL_ADDRESS: (record) => record.upstreamLocalAddress,
  UPSTREAM_PEER_URI_SAN: (record) => record.upstreamPeerIdentity,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (record) => record.attempts,
  DOWNSTREAM_REMOTE_ADDRESS: remoteOf,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => record.remoteAddress,
  DOWNSTREAM_REMOTE_PORT: (record) => record.remotePort,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: remoteOf,
  DOWNSTREAM_LOCAL_ADDRESS: ({ localAddress: address, localPort: port }) => formatAddress({ address, port }),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (record) => record.localAddress,
  DOWNSTREAM_LOCAL_PORT: (record) => record.localPort,
  DOWNSTREAM_PEER_URI_SAN: (record) => record.peerIdentity,
  DOWNSTREAM_LOCAL_URI_SAN: (record) => record.localIdentity,
  DOWNSTREAM_TLS_VERSION: (record) => record.tlsVersion,
  REQUESTED_SERVER_NAME: (record) => (record.serverName === "" ? undefined : record.serverName),
  STREAM_ID: (record) => record.id,
  CONNECTION_ID: (record) => record.id,
};

/** Known to Envoy, and always empty on opaque connections: one format can serve both kinds of listener. */
const HTTP_ONLY = new Set([
  "REQ",
  "RESP",
  "TRAILER",
  "RESPONSE_CODE_DETAILS",
  "RESPONSE_DURATION",
  "REQUEST_DURATION",
  "RESPONSE_TX_DURATION",
  "ROUTE_NAME",
  "GRPC_STATUS",
  "GRPC_STATUS_NUMBER",
  "TRACE_ID",
  "HOSTNAME",
]);

const HEDDLE: Readonly<Record<string, Operator>> = {
  config_version: (record) => record.configVersion,
  direction: (record) => record.direction,
  detail: (record) => record.failure,
};

/** Makes the line of one connection. Throws when the format has an unknown operator. */
export function compileTcpAccessLog(config: AccessLog): (record: TcpRecord) => string {
  if (config.format.kind === "text") {
    const format = compileText(config.format.format);
    return (record) => String(format(record) ?? "-");
  }
  const format = compileJson(config.format.fields);
  return (record) => `${JSON.stringify(format(record))}\n`;
}

function compileText(format: string): Operator {
  const parts: (string | Operator)[] = [];
  let from = 0;
  for (const found of format.matchAll(/%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::\d+)?%)/g)) {
    if (found.index > from) parts.push(format.slice(from, found.index));
    from = found.index + found[0].length;
    parts.push(found[1] === undefined ? "%" : operatorOf(found[1], found[2] ?? ""));
  }
  if (from < format.length) parts.push(format.slice(from));
  const [first] = parts;
  if (parts.length === 1 && typeof first === "function") return first;
  return (record) => parts.map((part) => (typeof part === "string" ? part : (part(record) ?? "-"))).join("");
}

function compileJson(value: JsonValue): (record: TcpRecord) => unknown {
  if (typeof value === "string") {
    const format = compileText(value);
    return (record) => format(record) ?? null;
  }
  if (Array.isArray(value)) {
    const items = value.map((item: JsonValue) => compileJson(item));
    return (record) => items.map((item) => item(record));
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => [key, compileJson(field)] as const);
    return (record) => Object.fromEntries(fields.map(([key, field]) => [key, field(record)]));
  }
  return () => value;
}

function operatorOf(name: string, argument: string): Operator {
  const operator = SIMPLE[name];
  if (operator !== undefined) return operator;
  if (HTTP_ONLY.has(name)) return () => undefined;
  if (name === "DYNAMIC_METADATA") {
    const [namespace, key = ""] = argument.split(":");
    return (namespace === "heddle" ? HEDDLE[key] : undefined) ?? (() => undefined);
  }
  throw new Error(`Cannot use the operator %${name}% on opaque connections: it is not known`);
}
