// Endpoints of original-destination clusters: the address that the client's connection was going to, known only as it comes.
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { MeshHop } from "#config/model/endpoint.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { closePools } from "./endpoint-pools.ts";
import { EndpointState } from "./endpoint-state.ts";

/** Envoy's cleanup_interval. */
const CLEANUP_MS = 5000;

/** An address that nobody used between two cleanups is forgotten, and its connections drain. */
export class OriginalDestinations {
  readonly #clock: Clock;
  readonly #hosts = new Map<string, EndpointState>();
  /** Used since the last cleanup. */
  #recent = new Set<EndpointState>();
  #timer: Timer | undefined = undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `identity`: that of all addresses, where they are mesh peers. */
  get({ address, port }: SocketAddress, identity: string | undefined): EndpointState {
    const key = formatAddress({ address, port });
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = new EndpointState({
        address,
        port,
        hostname: "",
        health: "unknown",
        weight: 1,
        labels: {},
        transportSocket: {},
        mesh: hopOf(address, port, identity),
      });
      this.#hosts.set(key, host);
      this.#timer ??= this.#clock.setTimer(CLEANUP_MS, () => this.#cleanUp());
    }
    this.#recent.add(host);
    return host;
  }

  hosts(): readonly EndpointState[] {
    return [...this.#hosts.values()];
  }

  /** The peers have another identity from now on. */
  update(identity: string | undefined): void {
    for (const host of this.#hosts.values()) {
      const { endpoint } = host;
      host.endpoint = { ...endpoint, mesh: hopOf(endpoint.address, endpoint.port, identity) };
    }
  }

  /** A request to it is over. */
  finished(host: EndpointState): void {
    this.#recent.add(host);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#hosts.clear();
  }

  #cleanUp(): void {
    for (const [key, host] of this.#hosts) {
      if (host.activeRequests > 0 || this.#recent.has(host)) continue;
      this.#hosts.delete(key);
      host.isRemoved = true;
      closePools(host);
    }
    this.#recent = new Set();
    this.#timer = this.#hosts.size === 0 ? undefined : this.#clock.setTimer(CLEANUP_MS, () => this.#cleanUp());
  }
}

function hopOf(address: string, port: number, identity: string | undefined): MeshHop {
  if (identity === undefined) return { kind: "none" };
  return { kind: "peer", inboundAddress: address, inboundPort: port, identity, version: "1" };
}
