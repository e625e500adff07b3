// One endpoint chosen for one attempt.
import type { Endpoint } from "#config/model/endpoint.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { StreamHandler } from "#lib/http/stream.ts";
import type { AttemptReport, OpenTicket, OpenWaiter, PickedEndpoint } from "./contract.ts";
import type { EndpointState } from "./endpoint-state.ts";

/** What a choice needs of its cluster. */
export interface PickOwner {
  openHttp(host: EndpointState, downstream: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket;
  openTunnel(host: EndpointState, authority: string, handler: StreamHandler, waiter: OpenWaiter): OpenTicket;
  reported(host: EndpointState, result: AttemptReport): void;
  /** Whether `loadReported` does anything. */
  readonly wantsLoadReports: boolean;
  loadReported(host: EndpointState, fields: HeaderBlock): void;
  /** `isTrial`: it was chosen to see whether the endpoint is well again. */
  finished(host: EndpointState, isTrial: boolean): void;
}

export class Picked implements PickedEndpoint {
  readonly endpoint: Endpoint;
  readonly #owner: PickOwner;
  readonly #host: EndpointState;
  readonly #isTrial: boolean;
  #isDone = false;

  constructor(owner: PickOwner, host: EndpointState, isTrial = false) {
    this.endpoint = host.endpoint;
    this.#owner = owner;
    this.#host = host;
    this.#isTrial = isTrial;
    host.activeRequests++;
    host.totalRequests++;
  }

  open(downstreamProtocol: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return this.#owner.openHttp(this.#host, downstreamProtocol, handler, waiter);
  }

  openTunnel(authority: string, handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return this.#owner.openTunnel(this.#host, authority, handler, waiter);
  }

  report(result: AttemptReport): void {
    this.#owner.reported(this.#host, result);
  }

  get wantsLoadReports(): boolean {
    return this.#owner.wantsLoadReports;
  }

  reportLoad(fields: HeaderBlock): void {
    this.#owner.loadReported(this.#host, fields);
  }

  done(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#host.activeRequests--;
    this.#owner.finished(this.#host, this.#isTrial);
  }
}
