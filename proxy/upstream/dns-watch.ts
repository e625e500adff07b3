// Endpoints by host name: looks the names of a cluster up again and again, and keeps the last good answer.
import { isIP } from "node:net";
import type { ClusterLoadAssignment, Endpoint, LocalityEndpoints } from "#config/model/endpoint.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";

/** All IP addresses of a name, best first. The real one: `dns.promises.lookup` with `all`. */
export type LookupHost = (name: string) => Promise<readonly string[]>;

export interface DnsWatchOptions {
  readonly assignment: ClusterLoadAssignment;
  readonly refreshMs: number;
  /** STRICT_DNS: every address is an endpoint. LOGICAL_DNS: the first one stands for the name. */
  readonly kind: "strictDns" | "logicalDns";
  readonly lookup: LookupHost;
  readonly clock: Clock;
  readonly log: Log;
  /** Each time that the addresses differ from before. */
  readonly onChange: (assignment: ClusterLoadAssignment) => void;
}

/** A name that fails keeps its last addresses; one that never resolved has none. */
export class DnsWatch {
  readonly #options: DnsWatchOptions;
  readonly #known = new Map<string, readonly string[]>();
  #timer: Timer | undefined = undefined;
  #isClosed = false;
  #last = "";

  constructor(options: DnsWatchOptions) {
    this.#options = options;
    this.#publish();
    void this.#refresh();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #refresh(): Promise<void> {
    const names = new Set(
      this.#options.assignment.localities.flatMap(({ endpoints }) =>
        endpoints.map(({ address }) => address).filter((address) => isIP(address) === 0),
      ),
    );
    await Promise.all([...names].map((name) => this.#look(name)));
    if (this.#isClosed) return;
    this.#publish();
    if (names.size === 0) return;
    this.#timer = this.#options.clock.setTimer(this.#options.refreshMs, () => void this.#refresh());
  }

  async #look(name: string): Promise<void> {
    try {
      const found = await this.#options.lookup(name);
      // Another order of the same addresses is no change, but for the one that a logical name stands for.
      const addresses = this.#options.kind === "strictDns" ? found.toSorted() : found.slice(0, 1);
      if (addresses.length > 0) this.#known.set(name, addresses);
    } catch (error) {
      this.#options.log.warn("cannot resolve a host name, its last addresses stay", {
        cluster: this.#options.assignment.cluster,
        name,
        error: describeError(error),
      });
    }
  }

  #publish(): void {
    const { assignment, onChange } = this.#options;
    const localities = assignment.localities.map((locality): LocalityEndpoints => ({
      ...locality,
      endpoints: locality.endpoints.flatMap((endpoint) => this.#resolved(endpoint)),
    }));
    const text = JSON.stringify(localities);
    if (text === this.#last) return;
    this.#last = text;
    onChange({ ...assignment, localities });
  }

  #resolved(endpoint: Endpoint): readonly Endpoint[] {
    if (isIP(endpoint.address) !== 0) return [endpoint];
    const hostname = endpoint.hostname === "" ? endpoint.address : endpoint.hostname;
    return (this.#known.get(endpoint.address) ?? []).map((address) => ({ ...endpoint, address, hostname }));
  }
}
