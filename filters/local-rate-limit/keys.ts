// What a bucket is kept for: parts of a request as one text.
import type { Exchange } from "../filter.ts";
import { queryOf } from "../descriptors/describe.ts";
import { maskAddress } from "../descriptors/mask-address.ts";
import { compileHeader } from "../matchers.ts";
import type { RateKey, RequestMatch } from "./config.ts";

/** Between the parts of a key: no header, path or name has it. */
const SEPARATOR = "\u0000";

export type KeyReader = (exchange: Exchange) => string;

/** The key as `tryTake` wants it; of a part that a request does not have, "". */
export function compileKeys(keys: readonly RateKey[]): KeyReader {
  const readers = keys.map(compileKey);
  const [only] = readers;
  if (only !== undefined && readers.length === 1) return only;
  return (exchange) => readers.map((read) => read(exchange)).join(SEPARATOR);
}

/** The key that these values make. */
export function joinKey(values: readonly string[]): string {
  return values.join(SEPARATOR);
}

function compileKey(key: RateKey): KeyReader {
  switch (key.type) {
    case "header":
      return (exchange) => exchange.request.getJoined(key.name) ?? "";
    case "query":
      return (exchange) => queryOf(exchange).get(key.name) ?? "";
    case "cookie":
      return (exchange) => readCookie(exchange.request.getJoined("cookie") ?? "", key.name);
    case "tenant":
      return (exchange) => String(exchange.notes.get("tenant") ?? "");
    case "identity":
      return compileIdentity(key.part);
    case "remoteAddress":
      return key.ipv4Bits === 32 && key.ipv6Bits === 128
        ? (exchange) => exchange.clientAddress
        : (exchange) => maskAddress(exchange.clientAddress, key.ipv4Bits, key.ipv6Bits);
    case "method":
      return (exchange) => exchange.request.get(":method") ?? "";
    case "host":
      return (exchange) => (exchange.request.get(":authority") ?? "").toLowerCase();
    case "route":
      return (exchange) => exchange.route?.name ?? "";
    case "path":
      return (exchange) => firstSegments(pathOf(exchange), key.segments);
    default:
      return key satisfies never;
  }
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/<account>`; an id of another form has no parts. */
function compileIdentity(part: "whole" | "namespace" | "serviceAccount"): KeyReader {
  if (part === "whole") return (exchange) => exchange.connection.peerIdentity ?? "";
  const wanted = part === "namespace" ? /\/ns\/([^/]+)\/sa\/[^/]+$/ : /\/ns\/[^/]+\/sa\/([^/]+)$/;
  return (exchange) => wanted.exec(exchange.connection.peerIdentity ?? "")?.[1] ?? "";
}

function pathOf(exchange: Exchange): string {
  return (exchange.request.get(":path") ?? "").split("?", 1)[0] ?? "";
}

function firstSegments(path: string, segments: number): string {
  if (segments === 0) return path;
  let at = 0;
  for (let i = 0; i < segments; i++) {
    at = path.indexOf("/", at + 1);
    if (at < 0) return path;
  }
  return path.slice(0, at);
}

/** RFC 6265 §4.2.1: the value as it is, without quotes around it. */
function readCookie(header: string, name: string): string {
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=");
    if (equals >= 0 && pair.slice(0, equals).trim() === name)
      return pair
        .slice(equals + 1)
        .trim()
        .replaceAll(/^"|"$/g, "");
  }
  return "";
}

export function compileMatch({ methods, pathPrefix, headers }: RequestMatch): (exchange: Exchange) => boolean {
  const tests = headers.map(compileHeader);
  return (exchange) =>
    (methods.length === 0 || methods.includes(exchange.request.get(":method") ?? "")) &&
    (pathPrefix === "" || isUnder(pathOf(exchange), pathPrefix)) &&
    tests.every((test) => test.matches(exchange.request));
}

/** As Gateway API's PathPrefix: by whole segments. */
function isUnder(path: string, prefix: string): boolean {
  const base = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  return path === base || path.startsWith(`${base}/`);
}
