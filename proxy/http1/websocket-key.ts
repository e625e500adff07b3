// RFC 6455's handshake proof, for the hops where one side has it and the other (RFC 8441) has not.
import { createHash, randomBytes } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The `Sec-WebSocket-Accept` that answers a key (RFC 6455 §4.2.2). */
export function websocketAccept(key: string): string {
  return createHash("sha1")
    .update(key + GUID)
    .digest("base64");
}

export function makeWebsocketKey(): string {
  return randomBytes(16).toString("base64");
}
