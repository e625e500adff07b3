// Envoy's command operators (`%REQ(X)%`, `%RESPONSE_CODE%` ...) over an exchange: for access logs and header values.
// Source: Envoy docs, "Access logging: command operators".
import type { JsonValue } from "#config/model/filter-config.ts";
import { formatAddress } from "#config/model/address.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";

type Value = string | number | boolean | undefined;
type Operator = (exchange: HttpExchange) => Value;

/** A format that was compiled; `undefined` for an absent value. */
export type CompiledFormat = (exchange: HttpExchange) => Value;

/** Throws when an operator is unknown, with its name. A format that is one operator keeps the value's type. */
export function compileFormat(format: string): CompiledFormat {
  const parts: (string | Operator)[] = [];
  let rest = format;
  while (rest !== "") {
    const found = /%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)/.exec(rest);
    if (found === null) {
      parts.push(rest);
      break;
    }
    if (found.index > 0) parts.push(rest.slice(0, found.index));
    rest = rest.slice(found.index + found[0].length);
    const name = found[1];
    parts.push(
      name === undefined
        ? "%"
        : makeOperator(name, found[2] ?? "", found[3] === undefined ? undefined : Number(found[3])),
    );
  }
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return typeof first === "string" ? () => first : first;
  return (exchange) => {
    let text = "";
    for (const part of parts) text += typeof part === "string" ? part : (part(exchange) ?? "-");
    return text;
  };
}

const compiled = new WeakMap<object, Map<string, CompiledFormat>>();

/** For header values: compiled once per service and format. */
export function formatText(exchange: HttpExchange, format: string): string {
  if (!format.includes("%")) return format;
  let formats = compiled.get(exchange.service);
  if (formats === undefined) compiled.set(exchange.service, (formats = new Map()));
  let made = formats.get(format);
  if (made === undefined) formats.set(format, (made = compileFormat(format)));
  return String(made(exchange) ?? "-");
}

/** Compiles a JSON log format into what writes the JSON text: strings are formats, the rest stays as it is. */
export function compileJsonFormat(value: JsonValue): (exchange: HttpExchange) => string {
  const parts: (string | CompiledFormat)[] = [];
  addJson(parts, value);
  const texts: string[] = [""];
  const formats: CompiledFormat[] = [];
  for (const part of parts) {
    if (typeof part === "string") texts[texts.length - 1] += part;
    else {
      formats.push(part);
      texts.push("");
    }
  }
  const last = texts.pop() ?? "";
  return (exchange) => {
    let text = "";
    for (let i = 0; i < formats.length; i++) text += (texts[i] ?? "") + jsonText(formats[i]?.(exchange));
    return text + last;
  };
}

/** Fixed text and formats, in the order in which they are written. */
function addJson(parts: (string | CompiledFormat)[], value: JsonValue): void {
  if (typeof value === "string") {
    parts.push(compileFormat(value));
  } else if (Array.isArray(value)) {
    parts.push("[");
    for (const [i, item] of value.entries()) {
      if (i > 0) parts.push(",");
      addJson(parts, item as JsonValue); // as: isArray loses the type of a readonly array's items
    }
    parts.push("]");
  } else if (typeof value === "object" && value !== null) {
    parts.push("{");
    for (const [i, [key, field]] of Object.entries(value).entries()) {
      parts.push(`${i > 0 ? "," : ""}${JSON.stringify(key)}:`);
      addJson(parts, field);
    }
    parts.push("}");
  } else parts.push(JSON.stringify(value));
}

/** An absent value is null. */
function jsonText(value: Value): string {
  if (typeof value === "string") return isPlain(value) ? `"${value}"` : JSON.stringify(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "null";
  return value === undefined ? "null" : String(value);
}

/** Printable ASCII that JSON does not escape. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return false;
  }
  return true;
}

function header(
  pick: (exchange: HttpExchange) => HeaderBlock | undefined,
  argument: string,
  limit: number | undefined,
): Operator {
  const [first = "", second] = argument.split("?").map((name) => name.trim().toLowerCase());
  return (exchange) => {
    const block = pick(exchange);
    const value = block?.getJoined(first) ?? (second === undefined ? undefined : block?.getJoined(second));
    return limit === undefined ? value : value?.slice(0, limit);
  };
}

const SIMPLE: Readonly<Record<string, Operator>> = {
  START_TIME: startTime,
  PROTOCOL: (exchange) => (exchange.connection.protocol === "http2" ? "HTTP/2" : "HTTP/1.1"),
  RESPONSE_CODE: (exchange) => exchange.status,
  RESPONSE_CODE_DETAILS: (exchange) => exchange.localReply?.code ?? (exchange.status > 0 ? "via_upstream" : undefined),
  RESPONSE_FLAGS: (exchange) => (exchange.flags.length === 0 ? "-" : exchange.flags.join(",")),
  BYTES_RECEIVED: (exchange) => exchange.requestBytes,
  BYTES_SENT: (exchange) => exchange.responseBytes,
  DURATION: (exchange) => Math.round(exchange.endMs - exchange.startMs),
  RESPONSE_DURATION: (exchange) =>
    exchange.responseHeadMs === 0 ? undefined : Math.round(exchange.responseHeadMs - exchange.startMs),
  UPSTREAM_HOST: (exchange) => {
    const endpoint = exchange.attempts.at(-1)?.endpoint;
    return endpoint === undefined ? undefined : formatAddress(endpoint);
  },
  UPSTREAM_CLUSTER: (exchange) => exchange.cluster?.altStatName ?? exchange.cluster?.name,
  UPSTREAM_CLUSTER_RAW: (exchange) => exchange.cluster?.name,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (exchange) => exchange.localReply?.detail,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (exchange) => exchange.attempts.length,
  UPSTREAM_PEER_URI_SAN: (exchange) => exchange.attempts.at(-1)?.connection?.peerIdentity,
  ROUTE_NAME: (exchange) => exchange.route?.name,
  DOWNSTREAM_REMOTE_ADDRESS: (exchange) => `${exchange.connection.remoteAddress}:${exchange.connection.remotePort}`,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (exchange) => exchange.connection.remoteAddress,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (exchange) =>
    `${exchange.connection.remoteAddress}:${exchange.connection.remotePort}`,
  DOWNSTREAM_LOCAL_ADDRESS: (exchange) => `${exchange.connection.localAddress}:${exchange.connection.localPort}`,
  DOWNSTREAM_PEER_URI_SAN: (exchange) => exchange.connection.peerIdentity,
  DOWNSTREAM_LOCAL_URI_SAN: (exchange) => exchange.connection.localIdentity,
  GRPC_STATUS_NUMBER: (exchange) => exchange.grpcStatus,
  GRPC_STATUS: (exchange) => exchange.grpcStatus,
  TRACE_ID: (exchange) => (exchange.trace.traceId === "" ? undefined : exchange.trace.traceId),
  STREAM_ID: (exchange) => exchange.requestId,
  HOSTNAME: () => undefined,
};

/** The second that was written last, and its text: most requests of one second share it. */
let knownSecond = Number.NaN;
let knownText = "";

/** As `Date.toISOString` writes it. */
function startTime(exchange: HttpExchange): string {
  const { clock } = exchange.service;
  const nowMs = exchange.endMs === 0 ? clock.nowMs() : exchange.endMs;
  const startMs = Math.floor(clock.wallMs() - (nowMs - exchange.startMs));
  const second = Math.floor(startMs / 1000);
  if (second !== knownSecond) {
    knownText = new Date(second * 1000).toISOString().slice(0, 20);
    knownSecond = second;
  }
  const ms = startMs - second * 1000;
  return `${knownText}${ms < 100 ? (ms < 10 ? "00" : "0") : ""}${ms}Z`;
}

function makeOperator(name: string, argument: string, limit: number | undefined): Operator {
  switch (name) {
    case "REQ":
      return header((exchange) => exchange.request, argument, limit);
    case "RESP":
      return header((exchange) => exchange.response, argument, limit);
    case "DYNAMIC_METADATA":
      return metadataOperator(argument);
    default: {
      const operator = SIMPLE[name];
      if (operator === undefined) throw new Error(`Cannot use the operator %${name}%: it is not known`);
      return operator;
    }
  }
}

/** `%DYNAMIC_METADATA(heddle:x)%`: what Envoy has no operator for (and leaves empty); other keys are notes that filters made. */
function metadataOperator(argument: string): Operator {
  const [namespace, key = ""] = argument.split(":");
  if (namespace !== "heddle") return () => undefined;
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
