// The real network of pools: wires, TLS with the peer's identity checked, and our codecs on them.
import { formatAddress } from "#config/model/address.ts";
import type { AttemptFailure } from "#filters/filter.ts";
import type { ClientCodec, ClientHandler, CodecHost, StreamHandler } from "#lib/http/stream.ts";
import { Http1Client } from "#proxy/http1/client.ts";
import { Http2Client } from "#proxy/http2/client.ts";
import { DEFAULT_HTTP2_SETTINGS } from "#proxy/http2/settings.ts";
import type { SecretStore } from "#proxy/tls/secret-store.ts";
import { CodecWire } from "#proxy/wire/codec-wire.ts";
import { connectWire } from "#proxy/wire/connect.ts";
import type { Wire, WireErrorKind } from "#proxy/wire/wire.ts";
import { makeWireError } from "#proxy/wire/wire-error.ts";
import type { WireLoop } from "#proxy/wire/wire-loop.ts";
import type { Connector, ConnectTarget, HttpConnectionHandler, RawConnectionHandler } from "./connector.ts";
import type { OpenTicket, UpstreamConnectionInfo } from "./contract.ts";
import { RawStream } from "./raw-stream.ts";
import { UpstreamTlsContexts } from "./tls-contexts.ts";

export interface WireConnectorOptions {
  readonly loop: WireLoop;
  readonly secrets: SecretStore;
}

export class WireConnector implements Connector {
  readonly #options: WireConnectorOptions;
  readonly #contexts: UpstreamTlsContexts;
  readonly #listeners: ((secrets: ReadonlySet<string>) => void)[] = [];

  constructor(options: WireConnectorOptions) {
    this.#options = options;
    this.#contexts = new UpstreamTlsContexts(options.secrets, options.loop.clock, (names) => {
      for (const listener of this.#listeners) listener(names);
    });
  }

  connectHttp(target: ConnectTarget, handler: HttpConnectionHandler): OpenTicket {
    return this.#connect(target, handler, (wire) => {
      const protocol = protocolOf(target, wire);
      if (protocol === undefined) {
        const offered = wire.info.tls?.alpn ?? "";
        wire.destroy();
        handler.onConnectFailed(
          "tls",
          `${formatAddress(target)} must speak HTTP/2, and chose ${offered === "" ? "no protocol" : offered} by ALPN`,
        );
        return;
      }
      const host = new CodecWire(wire, () => handler.onClosed());
      const codec = protocol === "http1" ? makeHttp1(host, handler, target) : this.#makeHttp2(host, handler, target);
      host.bind(codec);
      handler.onConnected({
        codec,
        info: infoOf(protocol, wire),
        validUntilMs: wire.info.tls?.peerCertificate?.validToDate.getTime() ?? Infinity,
        get pendingBytes() {
          return wire.out.pendingBytes;
        },
        get keepAliveTimeoutMs() {
          return codec instanceof Http1Client ? codec.keepAliveTimeoutMs : -1;
        },
        destroy: (error) => wire.destroy(makeWireError("aborted", error.message)),
      });
    });
  }

  connectRaw(target: ConnectTarget, stream: StreamHandler, handler: RawConnectionHandler): OpenTicket {
    return this.#connect(target, handler, (wire) => {
      const raw = new RawStream(wire, stream, target.bufferLimitBytes, () => handler.onClosed());
      handler.onConnected(raw, infoOf("http1", wire));
      raw.start();
    });
  }

  watchSecrets(listener: (secrets: ReadonlySet<string>) => void): void {
    this.#listeners.push(listener);
  }

  /** Stops watching secrets. */
  close(): void {
    this.#contexts.close();
    this.#listeners.length = 0;
  }

  #connect(
    target: ConnectTarget,
    handler: HttpConnectionHandler | RawConnectionHandler,
    onWire: (wire: Wire) => void,
  ): OpenTicket {
    const tls = this.#contexts.forTarget(target);
    return connectWire(
      this.#options.loop,
      target,
      { timeoutMs: target.timeoutMs, tls, localAddress: target.sourceAddress },
      {
        onConnected: onWire,
        onFailure: ({ kind, message }) => handler.onConnectFailed(failureOf(kind), message),
      },
    );
  }

  #makeHttp2(host: CodecHost, handler: ClientHandler, target: ConnectTarget): ClientCodec {
    const { http2, maxResponseHeadersBytes, maxResponseHeadersCount } = target.http;
    const settings = {
      ...DEFAULT_HTTP2_SETTINGS,
      ...http2,
      maxHeadersBytes: maxResponseHeadersBytes,
      maxHeadersCount: maxResponseHeadersCount,
    };
    return new Http2Client(host, handler, settings, this.#options.loop.clock);
  }
}

function makeHttp1(host: CodecWire, handler: ClientHandler, { http, bufferLimitBytes }: ConnectTarget): Http1Client {
  return new Http1Client(host, handler, {
    maxHeadBytes: http.maxResponseHeadersBytes,
    maxHeadCount: http.maxResponseHeadersCount,
    preserveCase: http.preserveHeaderCase,
    bufferLimitBytes,
  });
}

/** Undefined: HTTP/2 is a must, and the peer chose something else. */
function protocolOf(target: ConnectTarget, wire: Wire): "http1" | "http2" | undefined {
  const alpn = wire.info.tls?.alpn ?? "";
  if (target.protocol === "auto") return alpn === "h2" ? "http2" : "http1";
  if (target.protocol !== "http2") return "http1";
  // Without TLS, or with a peer that knows no ALPN, HTTP/2 is known beforehand; a mesh peer must say it.
  if (alpn === "h2" || (alpn === "" && target.expectedIdentity === undefined)) return "http2";
  return undefined;
}

function infoOf(protocol: "http1" | "http2", { info }: Wire): UpstreamConnectionInfo {
  return {
    protocol,
    isTls: info.tls !== undefined,
    peerIdentity: info.tls?.peerIdentity,
    localAddress: info.localAddress,
    localPort: info.localPort,
  };
}

function failureOf(kind: WireErrorKind): AttemptFailure {
  if (kind === "tls") return "tls";
  return kind === "timeout" ? "connect-timeout" : "connect-failure";
}
