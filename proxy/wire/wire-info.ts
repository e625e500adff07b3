// The addresses of a connection, looked up when somebody asks and kept from then on.
import type { Socket } from "node:net";
import type { SocketAddress } from "#config/model/address.ts";
import type { WireInfo, WireTls } from "./wire.ts";

const MAPPED = "::ffff:";

/** `::ffff:127.0.0.1` is written `127.0.0.1`: a dual-stack listener sees IPv4 peers so. */
export function unmapAddress(address: string): string {
  return address.startsWith(MAPPED) && address.includes(".") ? address.slice(MAPPED.length) : address;
}

export class SocketInfo implements WireInfo {
  readonly originalDestination: SocketAddress | undefined;
  readonly tls: WireTls | undefined;
  readonly #socket: Socket;
  #local: SocketAddress | undefined;
  #remote: SocketAddress | undefined;

  /** `remote`: where it was connected to; undefined: the socket knows, as long as it is open. */
  constructor(
    socket: Socket,
    originalDestination: SocketAddress | undefined,
    tls: WireTls | undefined,
    remote: SocketAddress | undefined,
  ) {
    this.#socket = socket;
    this.#remote = remote;
    this.originalDestination = originalDestination;
    // What the client sees as our address (Envoy restores it so).
    this.#local = originalDestination;
    this.tls = tls;
  }

  get localAddress(): string {
    return this.#getLocal().address;
  }

  get localPort(): number {
    return this.#getLocal().port;
  }

  get remoteAddress(): string {
    return this.#getRemote().address;
  }

  get remotePort(): number {
    return this.#getRemote().port;
  }

  #getLocal(): SocketAddress {
    this.#local ??= makeAddress(this.#socket.localAddress, this.#socket.localPort);
    return this.#local;
  }

  #getRemote(): SocketAddress {
    this.#remote ??= makeAddress(this.#socket.remoteAddress, this.#socket.remotePort);
    return this.#remote;
  }
}

function makeAddress(address: string | undefined, port: number | undefined): SocketAddress {
  return { address: unmapAddress(address ?? ""), port: port ?? 0 };
}
