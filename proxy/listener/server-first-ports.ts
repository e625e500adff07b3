// Remembers the ports whose servers spoke before their clients, so that the next connection there is not waited on at all.

/** Ports kept; the one that was not confirmed for the longest time is forgotten first. */
const MAX_PORTS = 1024;
/** A port is forgotten so long after its server last spoke first. */
const EXPIRY_MS = 600_000;

/**
 * Being remembered only makes a connection dial without the wait: its first bytes are looked at all the same, so that a port on
 * which something else runs today is served as what it is.
 */
export class ServerFirstPorts {
  readonly #expiryMs = new Map<string, number>();

  get size(): number {
    return this.#expiryMs.size;
  }

  has(destination: string, nowMs: number): boolean {
    const expiryMs = this.#expiryMs.get(destination);
    if (expiryMs === undefined) return false;
    if (nowMs < expiryMs) return true;
    this.#expiryMs.delete(destination);
    return false;
  }

  add(destination: string, nowMs: number): void {
    // To the end of the line of those that are forgotten.
    this.#expiryMs.delete(destination);
    this.#expiryMs.set(destination, nowMs + EXPIRY_MS);
    if (this.#expiryMs.size <= MAX_PORTS) return;
    for (const oldest of this.#expiryMs.keys()) {
      this.#expiryMs.delete(oldest);
      return;
    }
  }
}
