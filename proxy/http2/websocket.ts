// A WebSocket over HTTP/2 (RFC 8441) and the HTTP/1.1 upgrade as which the rest of the proxy knows it, both ways.
import { createHash } from "node:crypto";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { Random } from "#lib/random.ts";

/** RFC 6455 §1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Turns a received extended CONNECT into the upgrade request that HTTP/1.1 would have brought; gives the key that we made, or "". */
export function toUpgradeRequest(head: HeaderBlock, random: Random): string {
  head.set(":method", "GET");
  head.delete(":protocol");
  head.add("connection", "upgrade");
  head.add("upgrade", "websocket");
  if (head.has("sec-websocket-key")) return "";
  // RFC 8441 §5 has no key; a server behind HTTP/1.1 insists on one.
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random.next() * 256);
  const key = bytes.toString("base64");
  head.add("sec-websocket-key", key);
  return key;
}

/** The answer to it: 101 becomes 200. `ownKey`: the peer sent no key and wants no proof. */
export function toConnectResponse(head: HeaderBlock, ownKey: string): HeaderBlock {
  const response = HeaderBlock.of([":status", "200"]);
  head.forEach((name, value) => {
    if (name === ":status" || name === "connection" || name === "upgrade") return;
    if (name === "sec-websocket-accept" && ownKey !== "") return;
    response.add(name, value);
  });
  return response;
}

/** Whether this request asks for a WebSocket as HTTP/1.1 does. */
export function isWebSocketUpgrade(head: HeaderBlock): boolean {
  const upgrade = head.get("upgrade");
  return upgrade !== undefined && upgrade.toLowerCase() === "websocket" && head.get(":method") === "GET";
}

/** The extended CONNECT for it; the key stays, so that a server behind a next hop can answer it. */
export function toConnectRequest(head: HeaderBlock): HeaderBlock {
  const request = HeaderBlock.of([":method", "CONNECT"], [":protocol", "websocket"]);
  head.forEach((name, value) => {
    if (name === ":method" || name === "connection" || name === "upgrade" || name === "content-length") return;
    request.add(name, value);
  });
  return request;
}

/** Turns the 2xx of an extended CONNECT into the 101 that the asker waits for, with the proof of its key (RFC 6455 §4.2.2). */
export function toUpgradeResponse(head: HeaderBlock, key: string): void {
  head.set(":status", "101");
  head.delete("content-length");
  head.add("connection", "upgrade");
  head.add("upgrade", "websocket");
  if (key === "" || head.has("sec-websocket-accept")) return;
  head.add("sec-websocket-accept", createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64"));
}
