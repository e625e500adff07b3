// A network for tests of pools: connections come up, fail, fill and retire when the test says so.
import type { AttemptFailure } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { StreamError } from "#lib/http/stream-error.ts";
import type { ClientCodec, HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { Connector, ConnectTarget, HttpConnectionHandler, RawConnectionHandler } from "../connector.ts";
import type { Care, OpenTicket, OpenWaiter, UpstreamConnectionInfo } from "../contract.ts";

export class FakeConnection implements ClientCodec {
  readonly target: ConnectTarget;
  readonly protocol: "http1" | "http2";
  readonly streams = new Set<FakeStream>();
  idleSinceMs = 0;
  maxStreams: number;
  isSettled = true;
  isDraining = false;
  keepAliveTimeoutMs = -1;
  pendingBytes = 0;
  validUntilMs = Infinity;
  isCancelled = false;
  isClosed = false;
  readonly #handler: HttpConnectionHandler;
  readonly #nowMs: () => number;

  constructor(target: ConnectTarget, handler: HttpConnectionHandler, maxStreams: number, nowMs: () => number) {
    this.#nowMs = nowMs;
    this.target = target;
    this.protocol = target.protocol === "http2" ? "http2" : "http1";
    this.maxStreams = this.protocol === "http1" ? 1 : maxStreams;
    this.#handler = handler;
  }

  get activeStreams(): number {
    return this.streams.size;
  }

  get isAvailable(): boolean {
    return !this.isDraining && !this.isClosed && this.streams.size < this.maxStreams;
  }

  /** The network brings it up. */
  succeed(): void {
    const { tls, expectedIdentity, address } = this.target;
    const info: UpstreamConnectionInfo = {
      protocol: this.protocol,
      isTls: tls !== undefined,
      peerIdentity: expectedIdentity,
      localAddress: address,
      localPort: 1,
    };
    const keepAlive = (): number => this.keepAliveTimeoutMs;
    const pending = (): number => this.pendingBytes;
    this.#handler.onConnected({
      codec: this,
      validUntilMs: this.validUntilMs,
      info,
      get pendingBytes() {
        return pending();
      },
      get keepAliveTimeoutMs() {
        return keepAlive();
      },
      destroy: () => this.lose(),
    });
  }

  fail(reason: AttemptFailure = "connect-failure", detail = "ECONNREFUSED"): void {
    this.#handler.onConnectFailed(reason, detail);
  }

  /** The peer says how many streams it takes. */
  settle(): void {
    this.isSettled = true;
    this.#handler.onAvailable();
  }

  /** The peer says that it takes no more. */
  goAway(): void {
    this.isDraining = true;
    this.#handler.onRetired();
    this.#closeWhenIdle();
  }

  /** The peer closes it without a word, in the middle of a request or not. */
  peerCloses(): void {
    this.#handler.onPeerClosed?.();
    this.#handler.onRetired();
    this.lose();
  }

  lose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.streams.clear();
    this.#handler.onClosed();
  }

  drain(): void {
    this.isDraining = true;
    this.#closeWhenIdle();
  }

  open(handler: StreamHandler): HttpStream {
    if (!this.isAvailable) throw new Error("opened a stream on a connection that is not available");
    const stream = new FakeStream(this, handler);
    this.streams.add(stream);
    return stream;
  }

  finished(stream: FakeStream): void {
    const wasFull = !this.isAvailable;
    if (!this.streams.delete(stream)) return;
    if (this.streams.size === 0 && this.protocol === "http2") this.idleSinceMs = this.#nowMs();
    if (wasFull && this.isAvailable) this.#handler.onAvailable();
    this.#closeWhenIdle();
  }

  receive(): void {}
  receiveEnd(): void {}
  connectionLost(): void {}
  onSocketDrain(): void {}

  #closeWhenIdle(): void {
    if (this.isDraining && this.streams.size === 0) this.lose();
  }
}

export class FakeStream implements HttpStream {
  readonly connection: FakeConnection;
  readonly handler: StreamHandler;
  isReused = false;
  readonly heads: HeaderBlock[] = [];
  readonly bufferedBytes = 0;
  resetWith: StreamError | undefined = undefined;

  constructor(connection: FakeConnection, handler: StreamHandler) {
    this.connection = connection;
    this.handler = handler;
  }

  finish(): void {
    this.connection.finished(this);
  }

  sendInformational(): void {}
  sendHead(head: HeaderBlock): void {
    this.heads.push(head);
  }
  sendData(): boolean {
    return true;
  }
  sendTrailers(): void {}
  reset(error: StreamError): void {
    this.resetWith = error;
    this.finish();
  }
  consumed(): void {}
}

export class FakeConnector implements Connector {
  readonly attempts: FakeConnection[] = [];
  readonly raw: { target: ConnectTarget; handler: RawConnectionHandler }[] = [];
  maxStreams: number;

  readonly #nowMs: () => number;

  constructor(maxStreams = 100, nowMs: () => number = () => 0) {
    this.maxStreams = maxStreams;
    this.#nowMs = nowMs;
  }

  connectHttp(target: ConnectTarget, handler: HttpConnectionHandler): OpenTicket {
    const connection = new FakeConnection(target, handler, this.maxStreams, this.#nowMs);
    this.attempts.push(connection);
    return { cancel: () => (connection.isCancelled = true) };
  }

  connectRaw(target: ConnectTarget, _stream: StreamHandler, handler: RawConnectionHandler): OpenTicket {
    this.raw.push({ target, handler });
    return { cancel: () => undefined };
  }

  /** The `n`-th connection that was asked for. */
  at(n: number): FakeConnection {
    const connection = this.attempts[n];
    if (connection === undefined) throw new Error(`only ${this.attempts.length} connections were asked for`);
    return connection;
  }
}

/** Hears nothing. */
export const deafHandler: StreamHandler = {
  onHead: () => undefined,
  onInformational: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onDrain: () => undefined,
};

/** Writes down what it is told. */
export class RecordingWaiter implements OpenWaiter {
  readonly care: Care;
  stream: FakeStream | undefined = undefined;
  info: UpstreamConnectionInfo | undefined = undefined;
  failure: string | undefined = undefined;
  detail = "";

  constructor(care: Care = "none") {
    this.care = care;
  }

  get isAnswered(): boolean {
    return this.stream !== undefined || this.failure !== undefined;
  }

  onReady(stream: HttpStream, info: UpstreamConnectionInfo, isReused: boolean): void {
    if (this.isAnswered) throw new Error("answered twice");
    if (!(stream instanceof FakeStream)) throw new Error("not a stream of the fake network");
    this.stream = stream;
    stream.isReused = isReused;
    this.info = info;
  }

  onFailure(reason: AttemptFailure, detail: string): void {
    if (this.isAnswered) throw new Error("answered twice");
    this.failure = reason;
    this.detail = detail;
  }
}
