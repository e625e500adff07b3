// Opaque bytes to an endpoint without a mesh hop: a connection of its own, counted among the cluster's connections.
import type { AttemptFailure } from "#filters/filter.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { Connector, ConnectTarget, RawConnectionHandler } from "./connector.ts";
import type { OpenTicket, OpenWaiter, UpstreamConnectionInfo } from "./contract.ts";

export class RawTunnel implements RawConnectionHandler, OpenTicket {
  readonly #circuit: CircuitCounters;
  readonly #waiter: OpenWaiter;
  #ticket: OpenTicket | undefined = undefined;
  #isCounted = true;
  #isAnswered = false;

  constructor(circuit: CircuitCounters, waiter: OpenWaiter) {
    this.#circuit = circuit;
    this.#waiter = waiter;
  }

  /** Takes one of the cluster's connections, or says overflow. */
  static open(
    connector: Connector,
    circuit: CircuitCounters,
    target: ConnectTarget,
    handler: StreamHandler,
    waiter: OpenWaiter,
  ): OpenTicket {
    const tunnel = new RawTunnel(circuit, waiter);
    if (!circuit.tryConnection()) {
      tunnel.#isCounted = false;
      tunnel.#isAnswered = true;
      waiter.onFailure("overflow", "every connection that the cluster may have is taken");
      return tunnel;
    }
    tunnel.#ticket = connector.connectRaw(target, handler, tunnel);
    return tunnel;
  }

  /** Harmless after it was answered. */
  cancel(): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#ticket?.cancel();
    this.#ticket = undefined;
    this.#release();
  }

  onConnected(stream: HttpStream, info: UpstreamConnectionInfo): void {
    this.#isAnswered = true;
    // From here on only `onClosed` gives the place back.
    this.#ticket = undefined;
    this.#waiter.onReady(stream, info, false);
  }

  onConnectFailed(reason: AttemptFailure, detail: string): void {
    this.#isAnswered = true;
    this.#release();
    this.#waiter.onFailure(reason, detail);
  }

  onClosed(): void {
    this.#release();
  }

  #release(): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    this.#circuit.releaseConnection();
  }
}
