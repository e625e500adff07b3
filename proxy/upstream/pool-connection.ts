// One connection of a pool, from the moment it is begun.
import type { AttemptFailure } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import type { HttpConnection, HttpConnectionHandler } from "./connector.ts";
import type { OpenTicket, UpstreamConnectionInfo } from "./contract.ts";

/** What a connection tells its pool. */
export interface PoolConnectionOwner {
  onConnectionReady(connection: PoolConnection): void;
  onConnectionFailed(connection: PoolConnection, reason: AttemptFailure, detail: string): void;
  onConnectionAvailable(connection: PoolConnection): void;
  /** Its peer ends it unasked; `onConnectionRetired` and `onConnectionClosed` follow. */
  onConnectionPeerClosed(connection: PoolConnection): void;
  onConnectionRetired(connection: PoolConnection): void;
  onConnectionClosed(connection: PoolConnection): void;
}

/** A new connection is wanted when this share of a peer's streams is taken (contracts.md: pools). */
const BUSY_SHARE = 0.8;
/** A connection is congested when more than this has waited for its socket for longer than that (contracts.md: pools). */
const CONGESTED_BYTES = 1024 * 1024;
const CONGESTED_MS = 10;

/**
 *   connecting --> ready <--> full (no stream may be opened now)
 *       |            \          /
 *       v             v        v
 *     closed <------- retired (running streams go on)
 */
export class PoolConnection implements HttpConnectionHandler {
  state: "connecting" | "ready" | "retired" | "closed" = "connecting";
  /** Streams that it is expected to carry, until its peer has said how many it takes. */
  readonly expectedStreams: number;
  /** Streams opened so far. */
  opened = 0;
  /** `expectedStreams` are still counted by its pool. */
  isExpected = true;
  /** Stands in its pool's list of those that may take a stream. */
  isListed = false;
  connectedMs = 0;
  /** When it took a stream after idling, how long it had been idle then, and how long ago the stream before had been opened. */
  takenMs = 0;
  idleBeforeMs = 0;
  sentBeforeMs = 0;
  /** When a stream was opened last, with others or alone. */
  sentMs = 0;
  /** The running request tries a count that nobody has proven. */
  isTrial = false;
  /** It has spoken for a longer life of its like. */
  isWitness = false;
  #freeSinceMs = 0;
  ticket: OpenTicket | undefined = undefined;
  #congestedSinceMs = Infinity;
  #connection: HttpConnection | undefined = undefined;
  readonly #owner: PoolConnectionOwner;

  constructor(owner: PoolConnectionOwner, expectedStreams: number) {
    this.#owner = owner;
    this.expectedStreams = expectedStreams;
  }

  /** Before the peer has said how many streams it takes, one: it might refuse others. */
  get isAvailable(): boolean {
    const codec = this.#connection?.codec;
    if (this.state !== "ready" || codec === undefined) return false;
    return codec.isAvailable && (codec.isSettled || codec.activeStreams === 0);
  }

  /** The peer has said how many streams it takes. */
  get isSettled(): boolean {
    return this.#connection?.codec.isSettled ?? false;
  }

  get maxStreams(): number {
    return this.#connection?.codec.maxStreams ?? 0;
  }

  /** So full that another one should be opened before it is quite full. */
  get isBusy(): boolean {
    const codec = this.#connection?.codec;
    return codec === undefined || codec.activeStreams >= codec.maxStreams * BUSY_SHARE;
  }

  /** Looked at when streams are opened; reads the clock only while much is queued. */
  isCongested(clock: Clock): boolean {
    if ((this.#connection?.pendingBytes ?? 0) <= CONGESTED_BYTES) {
      this.#congestedSinceMs = Infinity;
      return false;
    }
    const nowMs = clock.nowMs();
    this.#congestedSinceMs = Math.min(this.#congestedSinceMs, nowMs);
    return nowMs - this.#congestedSinceMs > CONGESTED_MS;
  }

  /** By the peer's own word, how long it keeps the connection idle; Infinity = it said nothing. */
  get announcedMs(): number {
    const timeoutMs = this.#connection?.keepAliveTimeoutMs ?? -1;
    return timeoutMs < 0 ? Infinity : timeoutMs;
  }

  /** When its last stream ended, or it was made. */
  get idleSinceMs(): number {
    return Math.max(this.#freeSinceMs, this.#connection?.codec.idleSinceMs ?? 0);
  }

  /** An HTTP/1 codec has no clock: its pool says when it has become free. */
  set idleSinceMs(nowMs: number) {
    this.#freeSinceMs = nowMs;
  }

  /** Unix ms at which the peer's certificate ends; Infinity without one. */
  get validUntilMs(): number {
    return this.#connection?.validUntilMs ?? Infinity;
  }

  get activeStreams(): number {
    return this.#connection?.codec.activeStreams ?? 0;
  }

  get isMultiplexed(): boolean {
    return this.#connection?.codec.protocol === "http2";
  }

  get info(): UpstreamConnectionInfo | undefined {
    return this.#connection?.info;
  }

  /** Call only while `isAvailable`. */
  open(handler: StreamHandler, nowMs: number): HttpStream {
    const connection = this.#connection;
    if (connection === undefined) throw new Error("Cannot open a stream: the connection is not ready");
    this.opened++;
    this.sentMs = nowMs;
    this.isWitness = false;
    return connection.codec.open(handler);
  }

  /** No new streams; closes when the running ones are over. A connection that is still being made is given up. */
  retire(): void {
    if (this.state === "connecting") {
      this.ticket?.cancel();
      this.#close();
    } else if (this.state === "ready") {
      this.state = "retired";
      this.#owner.onConnectionRetired(this);
      this.#connection?.codec.drain();
    }
  }

  /** Closes now, whatever runs. */
  destroy(why: string): void {
    if (this.state === "connecting") this.retire();
    else if (this.state !== "closed") {
      this.state = "retired";
      this.#owner.onConnectionRetired(this);
      this.#connection?.destroy(makeStreamError("us", "connection", H2_ERROR.CANCEL, why));
    }
  }

  onConnected(connection: HttpConnection): void {
    if (this.state !== "connecting") return;
    this.ticket = undefined;
    this.#connection = connection;
    this.state = "ready";
    this.#owner.onConnectionReady(this);
  }

  onConnectFailed(reason: AttemptFailure, detail: string): void {
    if (this.state !== "connecting") return;
    this.state = "closed";
    this.ticket = undefined;
    this.#owner.onConnectionFailed(this, reason, detail);
  }

  onAvailable(): void {
    if (this.state === "ready") this.#owner.onConnectionAvailable(this);
  }

  onPeerClosed(): void {
    if (this.state === "ready") this.#owner.onConnectionPeerClosed(this);
  }

  onRetired(): void {
    if (this.state !== "ready") return;
    this.state = "retired";
    this.#owner.onConnectionRetired(this);
  }

  onClosed(): void {
    this.#close();
  }

  #close(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#owner.onConnectionClosed(this);
  }
}
