// One listening socket: accepts, finds the filter chain, does TLS, tells the protocol, and hands the connection on.
//
//   accept -> [original destination] -> [peek: ClientHello?] -> chain -> [TLS handshake] -> [peek: which HTTP?] -> HTTP or TCP
import net from "node:net";

import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { ConnectionLimit, FilterChain, HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { DownstreamTls } from "#config/model/tls.ts";
import type { Log } from "#lib/log.ts";
import type { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { acceptWire } from "#proxy/wire/accept.ts";
import { unmapAddress } from "#proxy/wire/wire-info.ts";
import type { SocketWire } from "#proxy/wire/socket-wire.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import type { WireLoop } from "#proxy/wire/wire-loop.ts";

import { ConnectionGate } from "./connection-gate.ts";
import { chooseChain, planOf, type ChainPlan, type ConnectionFacts } from "./chain-match.ts";
import { MAX_HELLO_BYTES, readClientHello, type ClientHello } from "./client-hello.ts";
import { detectProtocol, inspectHttp, isForeign } from "./detect.ts";
import { Detection, type Speculated, type Speculation, type SpeculationOwner } from "./detection.ts";
import type { OriginalDestination } from "./original-destination.ts";
import { Peek } from "./peek.ts";
import { ServerFirstPorts } from "./server-first-ports.ts";

/** Takes an accepted socket through a TLS handshake as server; proxy/tls does it. */
export interface ServerTls {
  /** Of the socket as the server accepted it, or as a wire released it; `firstBytes` were read already. Exactly one of the two callbacks follows. */
  secure(
    socket: net.Socket,
    originalDestination: SocketAddress | undefined,
    firstBytes: Buffer,
    tls: DownstreamTls,
    timeoutMs: number,
    onSecure: (wire: Wire) => void,
    onFailed: (reason: string) => void,
  ): void;
}

export type RefusalReason =
  | "no_filter_chain"
  | "tls_handshake"
  | "detection_timeout"
  | "not_http"
  | "gone"
  | "connection_rate"
  | "connection_limit";

/** Who takes the connections; `firstBytes` were read while the protocol was found out. */
export interface ConnectionHandler {
  onHttp(wire: Wire, protocol: "http1" | "http2", firstBytes: Buffer, listener: Listener, chain: FilterChain): void;
  onTcp(wire: Wire, firstBytes: Buffer, listener: Listener, chain: FilterChain): void;
  /**
   * The client has said nothing yet: dials for the chain, so that a server that speaks first is heard. Undefined where the chain
   * is not opaque. Adopted, it is what `onTcp` would have made.
   */
  onSilent(wire: Wire, listener: Listener, chain: FilterChain, owner: SpeculationOwner): Speculation | undefined;
  /** A connection that got no further, with the reason in a word for a counter. */
  onRefused(listener: Listener, reason: RefusalReason): void;
}

export interface ListenerParts {
  readonly loop: WireLoop;
  readonly tls: ServerTls;
  readonly handler: ConnectionHandler;
  readonly log: Log;
  /** Set before a listener that asks for it opens. */
  readonly originalDestination: () => OriginalDestination | undefined;
  /** The listener without a socket that serves the connections that were going there; undefined: none does. */
  readonly handOver: (destination: SocketAddress, direction: Listener["direction"]) => Listener | undefined;
  /** Where workers count connections together. */
  readonly cells: SharedCells;
  /** Several threads listen on the same address. */
  readonly reusePort: boolean;
}

/** Without a new connection for so long, the kernel's queue is empty. */
const QUIET_MS = 50;
const NOTHING = Buffer.alloc(0);
/** For HTTP listeners whose client says nothing at all: Envoy waits for its idle timeout, we for the listener's inspection time. */
const PLAIN_PEEK_BYTES = 24;

/** An accepted connection on its way to a chain. */
interface Arrival {
  /** The one that accepted it, or that it was handed over to. */
  readonly listener: Listener;
  readonly plan: ChainPlan;
  readonly original: SocketAddress | undefined;
}

export class RunningListener {
  #config: Listener;
  readonly #parts: ListenerParts;
  readonly #server: net.Server;
  readonly #gate: ConnectionGate;
  readonly #serverFirst = new ServerFirstPorts();
  #accepted = 0;

  constructor(config: Listener, parts: ListenerParts) {
    this.#config = config;
    this.#parts = parts;
    this.#gate = new ConnectionGate(parts.cells, config);
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#onAccepted(socket),
    );
    this.#server.on("drop", () =>
      parts.log.warn("a connection was dropped: too many are open", { listener: config.name }),
    );
  }

  get config(): Listener {
    return this.#config;
  }

  /** The port that was opened, where the configuration said 0. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : this.#config.address.port;
  }

  /** Rejects with the address and the reason when it cannot be opened. */
  open(): Promise<void> {
    const { address, name } = this.#config;
    return new Promise((resolve, reject) => {
      const onError = (cause: NodeJS.ErrnoException): void => {
        const why = cause.code === "EADDRINUSE" ? "another process listens there" : (cause.code ?? cause.message);
        reject(new Error(`Cannot open listener "${name}" on ${formatAddress(address)}: ${why}`, { cause }));
      };
      this.#server.once("error", onError);
      this.#server.listen(
        { host: address.address, port: address.port, reusePort: this.#parts.reusePort, backlog: 4096 },
        () => {
          this.#server.off("error", onError);
          this.#server.on("error", (error) => this.#parts.log.error("a listener failed", { listener: name, error }));
          resolve();
        },
      );
    });
  }

  /** New connections are treated so; the socket stays. */
  update(config: Listener): void {
    this.#config = config;
    this.#gate.update(config);
  }

  /** Closes when nobody has come for some turns: what waits in the kernel's queue would be reset with it. */
  closeWhenQuiet(timeoutMs: number): Promise<void> {
    const { clock } = this.#parts.loop;
    const endMs = clock.nowMs() + timeoutMs;
    return new Promise((resolve) => {
      let seen = -1;
      const look = (): void => {
        if (this.#accepted !== seen && clock.nowMs() < endMs) {
          seen = this.#accepted;
          clock.setTimer(QUIET_MS, look);
          return;
        }
        this.close();
        resolve();
      };
      look();
    });
  }

  /** Stops accepting; connections go on. */
  close(): void {
    this.#server.close();
  }

  #onAccepted(socket: net.Socket): void {
    this.#accepted++;
    if (!this.#gate.tryTake(this.#parts.loop.clock.nowMs())) {
      this.#parts.handler.onRefused(this.#config, "connection_rate");
      socket.destroy();
      return;
    }
    const arrival = this.#arrivalOf(socket);
    const { listener, plan, original } = arrival;
    // Where TLS is all that there is, no wire is needed before the handshake.
    if (plan.only?.tls !== undefined && plan.only.connectionLimit === undefined) {
      this.#secure(socket, NOTHING, arrival, plan.only, plan.only.tls);
      return;
    }
    const wire = acceptWire(this.#parts.loop, socket, original);
    if (!plan.inspects) {
      this.#route(wire, NOTHING, arrival, undefined);
      return;
    }
    const { handler, loop } = this.#parts;
    new Detection({
      clock: loop.clock,
      wire,
      destination: original === undefined ? "" : formatAddress(original),
      serverFirst: this.#serverFirst,
      timeoutMs: listener.inspectTimeoutMs,
      goesOnAfterTimeout: listener.continueOnInspectTimeout,
      maxBytes: MAX_HELLO_BYTES,
      isEnough: (bytes) => isEnough(bytes, plan),
      silentChain: () => chooseChain(plan, factsOf(wire, "raw_buffer")),
      speculate: (chain, owner) =>
        chain.tls === undefined ? handler.onSilent(wire, listener, chain, owner) : undefined,
      onDecided: (bytes, speculated) => {
        const hello = readClientHello(bytes);
        this.#route(wire, bytes, arrival, typeof hello === "string" ? undefined : hello, speculated);
      },
      onTimeout: () => this.#refuse(wire, listener, "detection_timeout"),
      onGone: () => handler.onRefused(listener, "gone"),
    }).start();
  }

  #arrivalOf(socket: net.Socket): Arrival {
    const config = this.#config;
    const { originalDestination, handOver } = this.#parts;
    const original = config.useOriginalDst ? originalDestination()?.(socket) : undefined;
    const listener = (original && handOver(original, config.direction)) ?? config;
    const plan = planOf(
      listener,
      () => original ?? { address: unmapAddress(socket.localAddress ?? ""), port: socket.localPort ?? 0 },
    );
    return { listener, plan, original };
  }

  #route(
    wire: SocketWire,
    firstBytes: Buffer,
    arrival: Arrival,
    hello: ClientHello | undefined,
    speculated?: Speculated,
  ): void {
    const { listener, plan } = arrival;
    const isTls =
      hello !== undefined || (!plan.inspects && (plan.chains[0]?.chain ?? plan.defaultChain)?.tls !== undefined);
    const chain = chooseChain(
      plan,
      factsOf(
        wire,
        isTls ? "tls" : "raw_buffer",
        hello?.serverName,
        hello?.alpn ?? (plan.inspectsHttp ? [inspectHttp(firstBytes)] : []),
      ),
    );
    if (chain?.connectionLimit !== undefined && !this.#enter(wire, listener, chain, chain.connectionLimit)) {
      speculated?.speculation.discard();
      return;
    }
    if (speculated !== undefined && speculated.chain === chain) {
      speculated.speculation.adopt(firstBytes);
      return;
    }
    speculated?.speculation.discard();
    if (chain === undefined) {
      this.#refuse(wire, listener, "no_filter_chain");
      return;
    }
    if (chain.tls === undefined) {
      this.#serve(wire, firstBytes, listener, chain);
      return;
    }
    this.#secure(wire.release(), firstBytes, arrival, chain, chain.tls);
  }

  #secure(socket: net.Socket, firstBytes: Buffer, arrival: Arrival, chain: FilterChain, tls: DownstreamTls): void {
    const { listener, original } = arrival;
    this.#parts.tls.secure(
      socket,
      original,
      firstBytes,
      tls,
      chain.handshakeTimeoutMs,
      (secure) => this.#serve(secure, NOTHING, listener, chain),
      (reason) => {
        this.#parts.log.info("a TLS handshake failed", {
          listener: listener.name,
          peer: `${unmapAddress(socket.remoteAddress ?? "")}:${socket.remotePort ?? 0}`,
          reason,
        });
        this.#parts.handler.onRefused(listener, "tls_handshake");
      },
    );
  }

  #serve(wire: Wire, firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    const { handler, loop } = this.#parts;
    if (chain.network.kind === "tcp") {
      handler.onTcp(wire, firstBytes, listener, chain);
      return;
    }
    const { http } = chain.network;
    const known = knownProtocol(http, wire.info.tls?.alpn ?? "");
    if (known !== undefined) {
      handler.onHttp(wire, known, firstBytes, listener, chain);
      return;
    }
    const detected = detectProtocol(firstBytes);
    if (detected !== "more") {
      this.#serveDetected(wire, firstBytes, listener, chain);
      return;
    }
    new Peek(wire, {
      clock: loop.clock,
      timeoutMs: http.idleTimeoutMs,
      moreTimeoutMs: http.requestHeadersTimeoutMs > 0 ? http.requestHeadersTimeoutMs : http.streamIdleTimeoutMs,
      maxBytes: PLAIN_PEEK_BYTES,
      isEnough: (bytes) => detectProtocol(Buffer.concat([firstBytes, bytes])) !== "more",
      onDone: (bytes, reason) => {
        const all = firstBytes.length === 0 ? bytes : Buffer.concat([firstBytes, bytes]);
        if (all.length === 0 && reason !== "enough") {
          wire.close();
          return;
        }
        this.#serveDetected(wire, all, listener, chain);
      },
      onGone: () => handler.onRefused(listener, "gone"),
    }).start();
  }

  /** What may have been meant as HTTP/1 gets its 400 from that codec. */
  #serveDetected(wire: Wire, firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    const { handler } = this.#parts;
    if (isForeign(firstBytes)) {
      handler.onRefused(listener, "not_http");
      wire.close();
      return;
    }
    handler.onHttp(wire, detectProtocol(firstBytes) === "http2" ? "http2" : "http1", firstBytes, listener, chain);
    wire.setReading(true);
  }

  /** False: the chain is full, and the connection is refused. */
  #enter(wire: SocketWire, listener: Listener, chain: FilterChain, limit: ConnectionLimit): boolean {
    const leave = this.#gate.tryEnter(chain, limit);
    if (leave !== undefined) {
      wire.socket.once("close", leave);
      return true;
    }
    this.#parts.handler.onRefused(listener, "connection_limit");
    wire.setReading(false);
    if (limit.delayMs > 0) this.#parts.loop.clock.setTimer(limit.delayMs, () => wire.destroy());
    else wire.destroy();
    return false;
  }

  #refuse(wire: Wire, listener: Listener, reason: "no_filter_chain" | "detection_timeout"): void {
    this.#parts.handler.onRefused(listener, reason);
    wire.destroy();
  }
}

function isEnough(bytes: Buffer, { inspectsHttp }: ChainPlan): boolean {
  const hello = readClientHello(bytes);
  if (hello === "more") return false;
  return hello !== "other" || !inspectsHttp || inspectHttp(bytes) !== "more";
}

function factsOf(
  { info }: Wire,
  transportProtocol: ConnectionFacts["transportProtocol"],
  serverName = "",
  applicationProtocols: readonly string[] = [],
): ConnectionFacts {
  return {
    sourceAddress: info.remoteAddress,
    sourcePort: info.remotePort,
    serverName,
    transportProtocol,
    applicationProtocols,
  };
}

function knownProtocol(http: HttpConnectionManager, alpn: string): "http1" | "http2" | undefined {
  if (http.codec !== "auto") return http.codec;
  if (alpn === "h2") return "http2";
  return alpn === "http/1.1" || alpn === "http/1.0" ? "http1" : undefined;
}
