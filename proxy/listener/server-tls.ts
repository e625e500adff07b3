// Joins listeners to TLS: one context per TLS configuration, given accepted wires with the bytes that were looked at.
import { createHmac } from "node:crypto";
import type { Socket } from "node:net";

import type { SocketAddress } from "#config/model/address.ts";
import type { DownstreamTls } from "#config/model/tls.ts";
import { DownstreamTlsContext } from "#proxy/tls/downstream-context.ts";
import type { SecretStore } from "#proxy/tls/secret-store.ts";
import { acceptTlsWire } from "#proxy/wire/accept.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import type { WireLoop } from "#proxy/wire/wire-loop.ts";

import { readClientHello } from "./client-hello.ts";
import type { ServerTls } from "./listener.ts";

/** Contexts of configurations that are gone are dropped beyond this. */
const MAX_CONTEXTS = 256;

export class ListenerTls implements ServerTls {
  readonly #loop: WireLoop;
  readonly #secrets: SecretStore;
  readonly #ticketSecret: Uint8Array | undefined;
  /** By the configuration's text: equal ones come again as other objects. */
  readonly #contexts = new Map<string, DownstreamTlsContext>();
  readonly #byObject = new WeakMap<DownstreamTls, DownstreamTlsContext>();

  /** `ticketSecret`: what all workers make the keys of session tickets from; without it each has its own. */
  constructor(loop: WireLoop, secrets: SecretStore, ticketSecret?: Uint8Array) {
    this.#ticketSecret = ticketSecret;
    this.#loop = loop;
    this.#secrets = secrets;
  }

  secure(
    socket: Socket,
    originalDestination: SocketAddress | undefined,
    firstBytes: Buffer,
    tls: DownstreamTls,
    timeoutMs: number,
    onSecure: (wire: Wire) => void,
    onFailed: (reason: string) => void,
  ): void {
    let sni = "";
    if (firstBytes.length > 0) {
      const hello = readClientHello(firstBytes);
      if (typeof hello !== "string") sni = hello.serverName;
      // TLS runs on the socket's own handle; what the socket holds is what Node gives it first.
      socket.unshift(firstBytes);
    }
    this.#contextOf(tls).accept(socket, sni, timeoutMs, {
      onSecure: (secure, info) => onSecure(acceptTlsWire(this.#loop, socket, secure, info, originalDestination)),
      onFailure: (error) => onFailed(error.message),
    });
  }

  #contextOf(tls: DownstreamTls): DownstreamTlsContext {
    const known = this.#byObject.get(tls);
    if (known !== undefined) return known;
    const key = JSON.stringify(tls);
    let context = this.#contexts.get(key);
    if (context === undefined) {
      context = new DownstreamTlsContext(tls, this.#secrets, this.#loop.clock, () =>
        this.#ticketSecret === undefined ? undefined : makeTicketKeys(this.#ticketSecret, tls, this.#secrets),
      );
      this.#contexts.set(key, context);
      if (this.#contexts.size > MAX_CONTEXTS) this.#dropOldest();
    }
    this.#byObject.set(tls, context);
    return context;
  }

  #dropOldest(): void {
    for (const [key, context] of this.#contexts) {
      this.#contexts.delete(key);
      context.dispose();
      return;
    }
  }
}

/**
 * 48 bytes (Node: a name, an HMAC and an AES key) that are the same in all workers for the same TLS configuration and the same
 * bundle: a session from before a bundle changed is not resumed after it.
 */
export function makeTicketKeys(secret: Uint8Array, tls: DownstreamTls, secrets: SecretStore): Buffer {
  const roots = tls.validation?.roots;
  const bundle = roots?.kind === "sds" ? secrets.get(roots.name) : roots?.secret;
  const text = JSON.stringify([tls, bundle]);
  return createHmac("sha512", secret).update(text).digest().subarray(0, 48);
}
