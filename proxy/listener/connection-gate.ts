// How many connections each chain of a listener may have at once, and how fast new ones are taken; shared by all workers.
import type { ConnectionLimit, FilterChain, Listener } from "#config/model/listener.ts";
import { TOKEN_BUCKET_CELLS, TokenBucket } from "#lib/token-bucket.ts";
import type { SharedCells, Shares } from "#proxy/resilience/shared-cells.ts";

export class ConnectionGate {
  readonly #cells: SharedCells;
  #listener: Listener;
  #bucket: TokenBucket | undefined;

  constructor(cells: SharedCells, listener: Listener) {
    this.#cells = cells;
    this.#listener = listener;
    this.#bucket = this.#makeBucket();
  }

  /** The counts go on under the new limits. */
  update(listener: Listener): void {
    this.#listener = listener;
    this.#bucket = this.#makeBucket();
  }

  /** May another connection be taken now? */
  tryTake(nowMs: number): boolean {
    return this.#bucket === undefined || this.#bucket.tryTake(nowMs).allowed;
  }

  /** The function that gives the place back, once; undefined = the chain has no room. */
  tryEnter(chain: FilterChain, { maxConnections }: ConnectionLimit): (() => void) | undefined {
    const shares: Shares = this.#cells.shares(`connections:${this.#listener.name}:${this.#indexOf(chain)}`, 1);
    if (Atomics.add(shares.total, 0, 1) >= maxConnections) {
      Atomics.sub(shares.total, 0, 1);
      return undefined;
    }
    Atomics.add(shares.own, 0, 1);
    return () => {
      Atomics.sub(shares.own, 0, 1);
      Atomics.sub(shares.total, 0, 1);
    };
  }

  /** Its name, or its place where it has none. */
  #indexOf(chain: FilterChain): string {
    return chain.name === "" ? `#${this.#listener.filterChains.indexOf(chain)}` : chain.name;
  }

  #makeBucket(): TokenBucket | undefined {
    const { connectionRate, name } = this.#listener;
    if (connectionRate === undefined) return undefined;
    // A changed rate is another bucket.
    const key = `connection-rate:${name}:${JSON.stringify(connectionRate)}`;
    return new TokenBucket(connectionRate, this.#cells.cells(key, TOKEN_BUCKET_CELLS));
  }
}
