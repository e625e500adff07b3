// One downstream HTTP connection: who the peer is, and an exchange for each request on it.
import type { ConnectionView, LocalReply } from "#filters/filter.ts";
import { describeError } from "#lib/errors.ts";
import type { HttpStream, ServerHandler, StreamHandler } from "#lib/http/stream.ts";
import { HttpExchange } from "#proxy/stream/exchange.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import type { Wire } from "#proxy/wire/wire.ts";

export class HttpConnection implements ServerHandler {
  readonly view: ConnectionView;
  readonly #service: () => HttpService;
  #checked: HttpService | undefined = undefined;
  #refusal: string | undefined = undefined;

  /** `service` gives the one in force: each new request on an old connection is served by the newest. */
  constructor(wire: Wire, protocol: "http1" | "http2", service: () => HttpService) {
    const { info } = wire;
    const { listener } = service();
    this.#service = service;
    this.view = {
      direction: listener.direction,
      listener: listener.name,
      protocol,
      remoteAddress: info.remoteAddress,
      remotePort: info.remotePort,
      localAddress: info.localAddress,
      localPort: info.localPort,
      isTls: info.tls !== undefined,
      peerIdentity: info.tls?.isPeerVerified === true ? info.tls.peerIdentity : undefined,
      peerCertificatePem: info.tls?.peerCertificatePem,
      localIdentity: info.tls?.localIdentity,
    };
  }

  onStream(stream: HttpStream): StreamHandler {
    const service = this.#service();
    if (service !== this.#checked) {
      this.#refusal = this.#check(service);
      this.#checked = service;
    }
    const exchange = new HttpExchange(service, this.view, stream);
    if (this.#refusal !== undefined) exchange.refuse(denied(this.#refusal));
    return exchange;
  }

  #check(service: HttpService): string | undefined {
    for (const filter of service.chain.onConnection) {
      try {
        const refusal = filter.onConnection(this.view);
        if (refusal !== undefined) return refusal;
      } catch (error) {
        service.log.error("a filter threw", { filter: filter.name, error });
        if (service.failureModes.get(filter.name) !== "open")
          return `the filter ${filter.name} failed: ${describeError(error)}`;
      }
    }
    return undefined;
  }
}

function denied(reason: string): LocalReply {
  return { status: 403, flag: "UAEX", code: "connection_denied", proxyStatus: "http_request_denied", detail: reason };
}
