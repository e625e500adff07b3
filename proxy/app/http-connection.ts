// One downstream HTTP connection: who the peer is, and an exchange for each request on it.
import type { SocketAddress } from "#config/model/address.ts";
import type { Direction, Listener } from "#config/model/listener.ts";
import type { ConnectionView, LocalReply } from "#filters/filter.ts";
import type { HttpStream, ServerHandler, StreamHandler } from "#lib/http/stream.ts";
import { HttpExchange } from "#proxy/stream/exchange.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import { replyFilterError } from "#proxy/stream/replies.ts";
import type { Wire, WireTls } from "#proxy/wire/wire.ts";

import type { ConnectionLimits } from "./connection-limits.ts";

/** A connection as filters see it, and the limits that must hear when its exchanges end. */
export class DownstreamView implements ConnectionView {
  readonly direction: Direction;
  readonly listener: string;
  readonly protocol: "http1" | "http2";
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly originalDestination: SocketAddress | undefined;
  readonly isTls: boolean;
  readonly peerIdentity: string | undefined;
  readonly localIdentity: string | undefined;
  readonly #tls: WireTls | undefined;
  readonly #limits: ConnectionLimits;

  constructor({ info }: Wire, protocol: "http1" | "http2", listener: Listener, limits: ConnectionLimits) {
    this.direction = listener.direction;
    this.listener = listener.name;
    this.protocol = protocol;
    this.remoteAddress = info.remoteAddress;
    this.remotePort = info.remotePort;
    this.localAddress = info.localAddress;
    this.localPort = info.localPort;
    this.originalDestination = info.originalDestination;
    this.isTls = info.tls !== undefined;
    this.peerIdentity = info.tls?.isPeerVerified === true ? info.tls.peerIdentity : undefined;
    this.localIdentity = info.tls?.localIdentity;
    this.#tls = info.tls;
    this.#limits = limits;
  }

  /** Written out each time: few ask for it. */
  get peerCertificatePem(): string | undefined {
    return this.#tls?.isPeerVerified === true ? this.#tls.peerCertificatePem : undefined;
  }

  exchangeEnded(nowMs: number): void {
    this.#limits.streamEnded(nowMs);
  }
}

export class HttpConnection implements ServerHandler {
  readonly view: DownstreamView;
  readonly #service: () => HttpService;
  readonly #limits: ConnectionLimits;
  /** Undefined, or why no new request is taken now. */
  readonly #overload: () => LocalReply | undefined;
  #checked: HttpService | undefined = undefined;
  #refusal: LocalReply | undefined = undefined;

  /** `service` gives the one in force: each new request on an old connection is served by the newest. */
  constructor(
    view: DownstreamView,
    service: () => HttpService,
    limits: ConnectionLimits,
    overload: () => LocalReply | undefined,
  ) {
    this.view = view;
    this.#service = service;
    this.#limits = limits;
    this.#overload = overload;
  }

  onStream(stream: HttpStream): StreamHandler {
    this.#limits.streamStarted();
    const service = this.#service();
    if (service !== this.#checked) {
      this.#refusal = this.#check(service);
      this.#checked = service;
    }
    const exchange = new HttpExchange(service, this.view, stream);
    const refusal = this.#refusal ?? this.#overload();
    if (refusal !== undefined) exchange.refuse(refusal);
    return exchange;
  }

  #check(service: HttpService): LocalReply | undefined {
    for (const filter of service.chain.onConnection) {
      try {
        const refusal = filter.onConnection(this.view);
        if (refusal !== undefined) return denied(refusal);
      } catch (error) {
        service.log.error("a filter threw", { filter: filter.name, error });
        if (service.failureModes.get(filter.name) !== "open") return replyFilterError(filter.name, error);
      }
    }
    return undefined;
  }
}

function denied(reason: string): LocalReply {
  return { status: 403, flag: "UAEX", code: "connection_denied", proxyStatus: "http_request_denied", detail: reason };
}
