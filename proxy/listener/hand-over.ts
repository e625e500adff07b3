// Listeners without a socket, by the addresses for which others hand connections over to them (Envoy: `use_original_dst`).
import { isIPv6, SocketAddress as NodeAddress } from "node:net";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { Direction, Listener } from "#config/model/listener.ts";

export class HandOver {
  readonly #listeners = new Map<string, Listener>();
  /** Several may claim an address: the first by name has it, so that all workers agree. */
  readonly #byAddress = new Map<string, Listener[]>();

  set(listener: Listener): void {
    this.delete(listener.name);
    this.#listeners.set(listener.name, listener);
    for (const key of keysOf(listener)) {
      const claims = this.#byAddress.get(key);
      if (claims === undefined) this.#byAddress.set(key, [listener]);
      else {
        claims.push(listener);
        claims.sort((left, right) => (left.name < right.name ? -1 : 1));
      }
    }
  }

  delete(name: string): void {
    const listener = this.#listeners.get(name);
    if (listener === undefined) return;
    this.#listeners.delete(name);
    for (const key of keysOf(listener)) {
      const rest = (this.#byAddress.get(key) ?? []).filter((one) => one !== listener);
      if (rest.length === 0) this.#byAddress.delete(key);
      else this.#byAddress.set(key, rest);
    }
  }

  /**
   * The one for this very address and port, else the one for all ports of the address (port 0: ours alone, Envoy has no such), else
   * the one for its port on all addresses of the family.
   */
  find(destination: SocketAddress, direction: Direction): Listener | undefined {
    const { address, port } = destination;
    const key = `${direction} ${formatAddress(destination)}`;
    return (
      this.#byAddress.get(key)?.[0] ??
      this.#byAddress.get(`${direction} ${formatAddress({ address, port: 0 })}`)?.[0] ??
      this.#byAddress.get(`${direction} ${isIPv6(address) ? "[::]" : "0.0.0.0"}:${port}`)?.[0]
    );
  }
}

/** Addresses as the kernel writes them (RFC 5952). An inbound listener never gets what an application sends out. */
function keysOf({ address, additionalAddresses = [], direction }: Listener): ReadonlySet<string> {
  return new Set(
    [address, ...additionalAddresses].map((one) => {
      const written = isIPv6(one.address)
        ? new NodeAddress({ address: one.address, family: "ipv6" }).address
        : one.address;
      return `${direction} ${formatAddress({ address: written, port: one.port })}`;
    }),
  );
}
