// What a hop does to heads as they pass: request id, forwarded, x-forwarded-*, client certificate, via, and the removal of fields that
// only a mesh peer may send. Envoy: the HTTP connection manager's header handling.
import { isIP } from "node:net";

import type { HttpConnectionManager } from "#config/model/listener.ts";
import type { ConnectionView } from "#filters/filter.ts";
import { isLocalClient } from "#filters/local-client.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { Random } from "#lib/random.ts";

import { settleClientCertificate } from "./client-certificate.ts";
import { isUntrustedEdge, settleForwarded } from "./forwarded.ts";
import { withoutDetails } from "./local-reply.ts";
import { normalizeRequest } from "./normalize.ts";
import { isForInternal } from "./router-controls.ts";

/** Changes a request's head as it enters; gives its request id. */
export function enterRequest(
  head: HeaderBlock,
  connection: ConnectionView,
  config: HttpConnectionManager,
  random: Random,
): string {
  if (connection.peerIdentity === undefined) removeForeignFields(head, config);
  normalizeRequest(head, connection, config);
  const requestId = settleRequestId(head, config, random);
  if (config.useRemoteAddress) {
    const forwarded = head.getJoined("x-forwarded-for");
    head.set(
      "x-forwarded-for",
      forwarded === undefined ? connection.remoteAddress : `${forwarded}, ${connection.remoteAddress}`,
    );
  }
  if (isUntrustedEdge(config) || !head.has("x-forwarded-proto"))
    head.set("x-forwarded-proto", connection.isTls ? "https" : (head.get(":scheme") ?? "http"));
  settleForwarded(head, connection, config);
  settleClientCertificate(head, connection, config);
  if (config.via !== "") head.add("via", config.via);
  return requestId;
}

/**
 * The address of the client that is believed (Envoy: trusted client address): `x-forwarded-for` as it stands after `enterRequest`,
 * from the right, beyond the proxies before us that are trusted. The connection's own where that names none.
 */
export function clientAddressOf(head: HeaderBlock, connection: ConnectionView, config: HttpConnectionManager): string {
  if (isUntrustedEdge(config)) return connection.remoteAddress;
  const addresses = head.getJoined("x-forwarded-for")?.split(",") ?? [];
  const found = addresses.at(-1 - config.xffTrustedHops)?.trim() ?? "";
  return isIP(found) === 0 ? connection.remoteAddress : found;
}

/** Changes a response's head as it leaves. */
export function leaveResponse(head: HeaderBlock, connection: ConnectionView, config: HttpConnectionManager): void {
  if (connection.peerIdentity === undefined) {
    removeMeshFields(head);
    if (!isLocalClient(connection)) {
      const proxyStatus = head.getJoined("proxy-status");
      if (proxyStatus !== undefined) head.set("proxy-status", withoutDetails(proxyStatus));
    }
  }
  if (config.serverHeader === "overwrite") head.set("server", config.serverName);
  else if (config.serverHeader === "append_if_absent" && !head.has("server")) head.add("server", config.serverName);
  if (config.via !== "") head.add("via", config.via);
}

/** `heddle-*` fields are accepted only from a verified mesh peer and removed at every other edge (contracts.md: the mesh hop). */
export function removeMeshFields(head: HeaderBlock): void {
  for (let i = head.length - 1; i >= 0; i--) {
    const name = head.nameAt(i);
    if (name.charCodeAt(0) === 0x68 && name.startsWith("heddle-")) head.delete(name);
  }
}

/** The same for requests, and with it what only internal ones may say, where the listener has none. */
function removeForeignFields(head: HeaderBlock, { internalAddresses, useRemoteAddress }: HttpConnectionManager): void {
  const hasInternal = internalAddresses.length > 0;
  for (let i = head.length - 1; i >= 0; i--) {
    const name = head.nameAt(i);
    const first = name.charCodeAt(0);
    if (
      first === 0x68
        ? name.startsWith("heddle-")
        : first === 0x78 && !hasInternal && isForInternal(name, useRemoteAddress)
    )
      head.delete(name);
  }
}

function settleRequestId(head: HeaderBlock, config: HttpConnectionManager, random: Random): string {
  const given = head.get("x-request-id");
  if (given !== undefined && given !== "" && (!config.useRemoteAddress || config.preserveExternalRequestId))
    return given;
  if (!config.generateRequestId) return given ?? "";
  const made = makeUuid(random);
  head.set("x-request-id", made);
  return made;
}

/** Two hex digits of each byte, as character codes. */
const HIGH: readonly number[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, "0").charCodeAt(0),
);
const LOW: readonly number[] = Array.from({ length: 256 }, (_, byte) => (byte & 15).toString(16).charCodeAt(0));
const DASH = 45;

function high(word: number, shift: number): number {
  return HIGH[(word >>> shift) & 255] ?? 0;
}

function low(word: number, shift: number): number {
  return LOW[(word >>> shift) & 255] ?? 0;
}

/** A version 4 UUID (RFC 9562) from the given chance: unique enough for ids, no secret. */
export function makeUuid(random: Random): string {
  const a = (random.next() * 4294967296) | 0;
  const b = ((random.next() * 4294967296) & 0xffff0fff) | 0x4000;
  const c = ((random.next() * 4294967296) & 0x3fffffff) | 0x80000000;
  const d = (random.next() * 4294967296) | 0;
  // One call with all digits makes one flat string; pieces that are put together are copied again when they are sent.
  // oxfmt-ignore
  return String.fromCharCode(
    high(a, 24), low(a, 24), high(a, 16), low(a, 16), high(a, 8), low(a, 8), high(a, 0), low(a, 0), DASH,
    high(b, 24), low(b, 24), high(b, 16), low(b, 16), DASH,
    high(b, 8), low(b, 8), high(b, 0), low(b, 0), DASH,
    high(c, 24), low(c, 24), high(c, 16), low(c, 16), DASH,
    high(c, 8), low(c, 8), high(c, 0), low(c, 0),
    high(d, 24), low(d, 24), high(d, 16), low(d, 16), high(d, 8), low(d, 8), high(d, 0), low(d, 0),
  );
}
