// The connections of one worker to one endpoint with one protocol and identity, and the requests that wait for one.
import type { AttemptFailure } from "#filters/filter.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { formatAddress } from "#config/model/address.ts";
import type { CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { Connector, ConnectTarget } from "./connector.ts";
import type { OpenTicket, OpenWaiter } from "./contract.ts";
import { PoolConnection, type PoolConnectionOwner } from "./pool-connection.ts";
import { WaiterQueue, Waiting } from "./waiter-queue.ts";

export interface PoolContext {
  readonly clock: Clock;
  readonly connector: Connector;
  readonly circuit: CircuitCounters;
}

const NOTHING_TO_CANCEL: OpenTicket = { cancel: () => undefined };
const MAX_FOR_CONGESTION = 4;
/** Connections drain so long before the peer's certificate ends. */
const EXPIRY_MARGIN_MS = 60_000;
const MIN_SWEEP_MS = 50;
const MAX_SWEEP_MS = 30_000;
/** Streams that a connection which may be HTTP/2 is expected to carry until the peer has said (RFC 9113 §6.5.2 recommends 100). */
const EXPECTED_H2_STREAMS = 100;

/**
 * HTTP/1: one stream a connection, the newest idle one first, so that the others can go idle. HTTP/2: all streams on the first
 * connection that is below 80 % of the peer's limit and not congested; above that another one is opened while the full one still
 * serves.
 *
 * Limits are the cluster's: `maxConnections` (a pool without any connection may open one beyond it, else its waiters would
 * wait for others' connections) and `maxPendingRequests`. A failed connection fails all waiters of an HTTP/2 pool, since
 * they all waited for it; of an HTTP/1 pool the oldest, and all when nothing is left that could serve them.
 *
 * `retarget` is for a changed certificate or setting: what is open drains, what comes uses the new target.
 */
export class Pool implements PoolConnectionOwner {
  readonly #context: PoolContext;
  #target: ConnectTarget;
  readonly #connections = new Set<PoolConnection>();
  /** May take a stream, the newest last. Checked again when taken. */
  readonly #available: PoolConnection[] = [];
  readonly #waiting = new WaiterQueue();
  /** Streams that the connections being made will carry. */
  #expected = 0;
  #sweep: Timer | undefined = undefined;
  #isClosing = false;
  /** What the last connection spoke; with ALPN deciding, HTTP/2 until known, so that a burst does not begin one for each. */
  #isHttp2 = true;

  constructor(target: ConnectTarget, context: PoolContext) {
    this.#target = target;
    this.#context = context;
  }

  get target(): ConnectTarget {
    return this.#target;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  get isEmpty(): boolean {
    return this.#connections.size === 0 && this.#waiting.length === 0;
  }

  /** A stream at once, later, or a failure: see `PickedEndpoint.open`. */
  open(handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    if (this.#waiting.length === 0) {
      const connection = this.#take();
      if (connection !== undefined) {
        this.#give(connection, handler, waiter);
        return NOTHING_TO_CANCEL;
      }
    }
    if (!this.#context.circuit.tryPending()) {
      waiter.onFailure("overflow", `no connection to ${this.#where()} is free and the queue of the cluster is full`);
      return NOTHING_TO_CANCEL;
    }
    const waiting = new Waiting(handler, waiter, (one) => this.#forget(one));
    this.#waiting.push(waiting);
    this.#connectMore();
    return waiting;
  }

  /** Another certificate, TLS setting or option: open connections drain, new ones are made with this. */
  retarget(target: ConnectTarget): void {
    this.#target = target;
    for (const connection of this.#copy()) connection.retire();
    this.#connectMore();
  }

  /** No new streams after those that wait; ends when all is over. */
  close(): void {
    this.#isClosing = true;
    if (this.#waiting.length === 0) for (const connection of this.#copy()) connection.retire();
  }

  /** Closes every connection now; those that wait get new ones. */
  destroyConnections(why: string): void {
    for (const connection of this.#copy()) connection.destroy(why);
  }

  onConnectionReady(connection: PoolConnection): void {
    this.#expected -= connection.expectedStreams;
    connection.connectedMs = this.#context.clock.nowMs();
    connection.idleSinceMs = connection.connectedMs;
    this.#isHttp2 = connection.isMultiplexed;
    this.#scheduleSweep();
    this.#serve(connection);
  }

  onConnectionFailed(connection: PoolConnection, reason: AttemptFailure, detail: string): void {
    this.#expected -= connection.expectedStreams;
    this.#drop(connection);
    const isShared = connection.expectedStreams > 1 || !this.#hasUsable();
    const failed: Waiting[] = [];
    for (let left = isShared ? this.#waiting.length : 1; left > 0; left--) {
      const waiting = this.#shift();
      if (waiting !== undefined) failed.push(waiting);
    }
    for (const { waiter } of failed) waiter.onFailure(reason, detail);
    if (this.#isClosing) this.close();
    else this.#connectMore();
  }

  onConnectionAvailable(connection: PoolConnection): void {
    if (connection.maxIdleMs !== Infinity) connection.idleSinceMs = this.#context.clock.nowMs();
    this.#serve(connection);
  }

  onConnectionRetired(connection: PoolConnection): void {
    this.#unlist(connection);
    this.#connectMore();
  }

  onConnectionClosed(connection: PoolConnection): void {
    if (connection.info === undefined) this.#expected -= connection.expectedStreams;
    this.#drop(connection);
    this.#connectMore();
  }

  /** The best connection that takes a stream now. */
  #take(): PoolConnection | undefined {
    const available = this.#available;
    for (let i = available.length - 1; i >= 0; i--) {
      const connection = available[i];
      if (connection === undefined) continue;
      if (!connection.isAvailable) {
        this.#unlist(connection);
        continue;
      }
      if (!connection.isMultiplexed) {
        this.#unlist(connection);
        // A request on a connection that the peer is about to close would fail: the keep-alive race.
        const { maxIdleMs } = connection;
        if (maxIdleMs === Infinity || this.#context.clock.nowMs() - connection.idleSinceMs < maxIdleMs)
          return connection;
        connection.retire();
        continue;
      }
      if (!connection.isBusy && !this.#isCongested(connection)) return connection;
    }
    const busy = available[available.length - 1];
    if (busy !== undefined && this.#expected === 0) this.#connect(false);
    return busy;
  }

  /** A few connections more may relieve a socket that is full; beyond that the peer is slow, whatever we open. */
  #isCongested(connection: PoolConnection): boolean {
    return this.#connections.size < MAX_FOR_CONGESTION && connection.isCongested(this.#context.clock);
  }

  #give(connection: PoolConnection, handler: StreamHandler, waiter: OpenWaiter): void {
    const { info } = connection;
    if (info === undefined) return;
    const stream: HttpStream = connection.open(handler);
    const limit = this.#target.http.maxRequestsPerConnection;
    // Before the head is sent, so that an HTTP/1 codec says `Connection: close` in it.
    if (limit > 0 && connection.opened >= limit) connection.retire();
    waiter.onReady(stream, info);
  }

  /** Gives those that wait what this connection can carry, and keeps it for later. */
  #serve(connection: PoolConnection): void {
    this.#unlist(connection);
    while (this.#waiting.length > 0 && connection.isAvailable) {
      const waiting = this.#shift();
      if (waiting !== undefined) this.#give(connection, waiting.handler, waiting.waiter);
    }
    // A waiter may have opened a stream meanwhile, so that it is listed already.
    if (connection.isAvailable && !connection.isListed) {
      connection.isListed = true;
      this.#available.push(connection);
    }
    if (this.#isClosing) this.close();
    else this.#connectMore();
  }

  #connectMore(): void {
    while (this.#waiting.length > this.#expected && this.#connect(true));
  }

  /** `isNeeded`: somebody waits. False: the cluster's connections are used up. */
  #connect(isNeeded: boolean): boolean {
    const { circuit, connector } = this.#context;
    if (!circuit.tryConnection()) {
      if (!isNeeded || this.#hasUsable()) return false;
      circuit.forceConnection();
    }
    const { protocol } = this.#target;
    const isShared = protocol === "http2" || (protocol === "auto" && this.#isHttp2);
    const connection = new PoolConnection(this, isShared ? EXPECTED_H2_STREAMS : 1);
    this.#connections.add(connection);
    this.#expected += connection.expectedStreams;
    connection.ticket = connector.connectHttp(this.#target, connection);
    return true;
  }

  /** A list that stands still: retiring one connection may open another, which must not be met in the same round. */
  #copy(): readonly PoolConnection[] {
    return Array.from(this.#connections);
  }

  /** Retired connections serve nobody that waits. */
  #hasUsable(): boolean {
    for (const { state } of this.#connections) if (state === "connecting" || state === "ready") return true;
    return false;
  }

  #shift(): Waiting | undefined {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.#context.circuit.releasePending();
    return waiting;
  }

  #forget(waiting: Waiting): void {
    this.#waiting.remove(waiting);
    this.#context.circuit.releasePending();
    if (this.#isClosing) this.close();
  }

  #drop(connection: PoolConnection): void {
    this.#unlist(connection);
    if (this.#connections.delete(connection)) this.#context.circuit.releaseConnection();
    if (this.#connections.size === 0) {
      this.#sweep?.cancel();
      this.#sweep = undefined;
    }
  }

  #unlist(connection: PoolConnection): void {
    if (!connection.isListed) return;
    connection.isListed = false;
    const last = this.#available.length - 1;
    if (this.#available[last] === connection) this.#available.length = last;
    else this.#available.splice(this.#available.indexOf(connection), 1);
  }

  /** Idle and old connections are looked for a few times per limit, so that requests need not read the clock. */
  #scheduleSweep(): void {
    if (this.#sweep !== undefined) return;
    const { idleTimeoutMs, maxConnectionDurationMs } = this.#target.http;
    const shortest = Math.min(idleTimeoutMs || Infinity, maxConnectionDurationMs || Infinity);
    if (shortest === Infinity && this.#target.tls === undefined) return;
    const delayMs = Math.min(MAX_SWEEP_MS, Math.max(MIN_SWEEP_MS, shortest / 4));
    this.#sweep = this.#context.clock.setTimer(delayMs, () => {
      this.#sweep = undefined;
      this.#retireStale();
      if (this.#connections.size > 0) this.#scheduleSweep();
    });
  }

  #retireStale(): void {
    const nowMs = this.#context.clock.nowMs();
    const { idleTimeoutMs, maxConnectionDurationMs } = this.#target.http;
    for (const connection of this.#copy()) {
      if (connection.state !== "ready") continue;
      if (connection.wasUsed || connection.activeStreams > 0) connection.idleSinceMs = nowMs;
      connection.wasUsed = false;
      const idleMs = nowMs - connection.idleSinceMs;
      const isIdle = (idleTimeoutMs > 0 && idleMs >= idleTimeoutMs) || idleMs >= connection.maxIdleMs;
      const isOld = maxConnectionDurationMs > 0 && nowMs - connection.connectedMs >= maxConnectionDurationMs;
      const isExpiring = this.#context.clock.wallMs() >= connection.validUntilMs - EXPIRY_MARGIN_MS;
      if (isIdle || isOld || isExpiring) connection.retire();
    }
  }

  #where(): string {
    return formatAddress(this.#target);
  }
}
