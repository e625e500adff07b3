// Counts connections upstream by destination, plaintext apart: nobody should find out by chance that a hop is not encrypted.
import { formatAddress } from "#config/model/address.ts";
import type { StreamHandler } from "#lib/http/stream.ts";
import type { Counter, Metrics } from "#proxy/telemetry/metrics.ts";
import type {
  Connector,
  ConnectTarget,
  HttpConnectionHandler,
  RawConnectionHandler,
} from "#proxy/upstream/connector.ts";
import type { OpenTicket } from "#proxy/upstream/contract.ts";

/** Captured applications may call any address there is: beyond so many, destinations are counted as one. */
const MAX_DESTINATIONS = 1000;

export class CountingConnector implements Connector {
  readonly #inner: Connector;
  readonly #metrics: Metrics;
  readonly #destinations = new Set<string>();

  constructor(inner: Connector, metrics: Metrics) {
    this.#inner = inner;
    this.#metrics = metrics;
  }

  connectHttp(target: ConnectTarget, handler: HttpConnectionHandler): OpenTicket {
    this.#counterOf(target).add(1);
    return this.#inner.connectHttp(target, handler);
  }

  connectRaw(target: ConnectTarget, stream: StreamHandler, handler: RawConnectionHandler): OpenTicket {
    this.#counterOf(target).add(1);
    return this.#inner.connectRaw(target, stream, handler);
  }

  watchSecrets(listener: (secrets: ReadonlySet<string>) => void): void {
    this.#inner.watchSecrets?.(listener);
  }

  #nameOf(destination: string): string {
    if (this.#destinations.has(destination)) return destination;
    if (this.#destinations.size >= MAX_DESTINATIONS) return "other";
    this.#destinations.add(destination);
    return destination;
  }

  #counterOf(target: ConnectTarget): Counter {
    const destination = this.#nameOf(formatAddress(target));
    return target.tls === undefined
      ? this.#metrics.counter("heddle_plaintext_connections_total", "Connects upstream without TLS, by destination.", {
          destination,
        })
      : this.#metrics.counter("heddle_tls_connections_total", "Connects upstream with TLS, by destination.", {
          destination,
        });
  }
}
