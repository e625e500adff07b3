// The connections of one worker to one endpoint with one protocol and identity, and the requests that wait for one.
import type { AttemptFailure } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { formatAddress } from "#config/model/address.ts";
import type { CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { Connector, ConnectTarget } from "./connector.ts";
import type { Care, OpenTicket, OpenWaiter } from "./contract.ts";
import { ExpectedStreams } from "./expected-streams.ts";
import {
  DOUBTFUL_COUNT,
  ENDING_COUNT,
  ENDING_IDLE,
  type PeerLifetime,
  type PeerLifetimes,
  UNTRIED,
  USABLE,
} from "./peer-lifetime.ts";
import { PoolConnection, type PoolConnectionOwner } from "./pool-connection.ts";
import { PoolSweep } from "./pool-sweep.ts";
import { SecondLook } from "./second-look.ts";
import { WaiterQueue, Waiting } from "./waiter-queue.ts";

export interface PoolContext {
  readonly clock: Clock;
  readonly connector: Connector;
  readonly circuit: CircuitCounters;
  /** What is known of endpoints; it outlives the pools. */
  readonly lifetimes: PeerLifetimes;
  /** Calls back when all that the kernel has now for our sockets has been handled. */
  readonly afterEvents: (callback: () => void) => void;
}

const NOTHING_TO_CANCEL: OpenTicket = { cancel: () => undefined };
const MAX_FOR_CONGESTION = 4;
/** Connections looked at for one request that not every connection is good for; then a new one is the better choice. */
const MAX_LOOKED_AT = 16;
/** After idling so long a FIN may have come that the loop has not read yet. */
const SECOND_LOOK_MS = 10;
/** A connection that ends so long after it took a request ended at work, not for want of it. */
const AT_WORK_MS = 250;

/**
 * HTTP/1: one stream a connection, the newest idle one first, so that the others can go idle. HTTP/2: all streams on the first
 * connection that is below 80 % of the peer's limit and not congested; above that another one is opened while the full one still
 * serves.
 *
 * Limits are the cluster's: `maxConnections` (a pool without any connection may open one beyond it, else its waiters would
 * wait for others' connections) and `maxPendingRequests`. A failed connection fails all waiters of an HTTP/2 pool, since
 * they all waited for it; of an HTTP/1 pool the oldest, and all when nothing is left that could serve them.
 *
 * A connection is not used when its peer is about to close it, by the peer's own word or by what `PeerLifetime` has learned. What
 * an unlucky request may cost is its `Care`. Where the cluster's connections are used up, care gives way to being served at all.
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
  readonly #lifetime: PeerLifetime;
  readonly #expected = new ExpectedStreams();
  readonly #sweep: PoolSweep;
  #isClosing = false;
  /** What the last connection spoke; with ALPN deciding, HTTP/2 until known, so that a burst does not begin one for each. */
  #isHttp2 = true;

  constructor(target: ConnectTarget, context: PoolContext) {
    this.#target = target;
    this.#context = context;
    this.#lifetime = context.lifetimes.get(`${formatAddress(target)}/${target.protocol}`);
    this.#sweep = new PoolSweep(this.#connections, () => this.#target, context, this.#lifetime);
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
  open(handler: StreamHandler, waiter: OpenWaiter, firstLookMs?: number): OpenTicket {
    const isFirstLook = firstLookMs === undefined;
    const nowMs = isFirstLook && waiter.startMs !== undefined ? waiter.startMs : this.#context.clock.nowMs();
    if (this.#waiting.length === 0) {
      const care = waiter.care ?? "none";
      if (care === "proven") {
        if (isFirstLook && this.#isLongIdle(nowMs)) {
          const look = new SecondLook(this, handler, waiter, nowMs);
          this.#context.afterEvents(() => look.run());
          return look;
        }
        if (!isFirstLook) this.#learnFromOldest(firstLookMs);
      }
      const connection = this.#take(care, nowMs);
      if (connection !== undefined) {
        this.#give(connection, handler, waiter, nowMs);
        return NOTHING_TO_CANCEL;
      }
    }
    if (!this.#context.circuit.tryPending()) {
      waiter.onFailure(
        "overflow",
        `no connection to ${formatAddress(this.#target)} is free and the queue of the cluster is full`,
      );
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
    this.#expected.settle(connection);
    const nowMs = this.#context.clock.nowMs();
    connection.connectedMs = nowMs;
    connection.sentMs = nowMs;
    connection.idleSinceMs = nowMs;
    this.#isHttp2 = connection.isMultiplexed;
    this.#sweep.schedule();
    this.#serve(connection, nowMs);
  }

  onConnectionFailed(connection: PoolConnection, reason: AttemptFailure, detail: string): void {
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
    this.#expected.settle(connection);
    const nowMs = this.#context.clock.nowMs();
    connection.idleSinceMs = nowMs;
    if (!connection.isMultiplexed) {
      this.#endTrial(connection);
      if (connection.opened > 1) this.#lifetime.seenServing(connection.opened - 1, connection.idleBeforeMs);
      this.#lifetime.seenOpen(connection.idleBeforeMs, 0);
    }
    this.#serve(connection, nowMs);
  }

  onConnectionPeerClosed(connection: PoolConnection): void {
    const nowMs = this.#context.clock.nowMs();
    const isBusy = connection.activeStreams > 0;
    if (isBusy && nowMs - connection.takenMs > AT_WORK_MS) return;
    const idleMs = isBusy ? connection.idleBeforeMs : nowMs - connection.idleSinceMs;
    const requests = isBusy ? connection.opened - 1 : connection.opened;
    this.#lifetime.closed(idleMs, requests, !connection.isMultiplexed, nowMs);
    this.#sweep.restart();
  }

  onConnectionRetired(connection: PoolConnection): void {
    this.#unlist(connection);
    this.#expected.remove(connection);
    this.#connectMore();
  }

  onConnectionClosed(connection: PoolConnection): void {
    this.#drop(connection);
    this.#connectMore();
  }

  /** The best connection for such a request now; HTTP/1's is unlisted. */
  #take(care: Care, nowMs: number): PoolConnection | undefined {
    const available = this.#available;
    let busy: PoolConnection | undefined;
    let left = MAX_LOOKED_AT;
    for (let i = available.length - 1; i >= 0 && left > 0; i--) {
      const connection = available[i];
      if (connection === undefined) continue;
      if (!connection.isAvailable) {
        this.#unlist(connection);
        continue;
      }
      const fit = this.#judge(connection, care, nowMs);
      if (fit === ENDING_IDLE) {
        this.#sweep.retireStale(nowMs);
        break;
      }
      if (fit === ENDING_COUNT) connection.retire();
      if (fit !== USABLE && (fit !== UNTRIED || this.#lifetime.isTrying(nowMs))) {
        left--;
        continue;
      }
      if (!connection.isMultiplexed) {
        this.#unlist(connection);
        return connection;
      }
      if (!connection.isBusy && !this.#isCongested(connection)) return connection;
      busy ??= connection;
    }
    if (busy !== undefined && this.#expected.count === 0) this.#connect(false);
    return busy;
  }

  /** A connection that has carried streams for a while is alive; one that has just taken its first is as doubtful as it was before. */
  #judge(connection: PoolConnection, care: Care, nowMs: number): number {
    const isBusy = connection.activeStreams > 0;
    const { opened, announcedMs, isMultiplexed } = connection;
    if (care === "fresh") {
      const isFresh = opened === 0 || (isBusy && connection.idleBeforeMs < SECOND_LOOK_MS);
      return isFresh ? USABLE : DOUBTFUL_COUNT;
    }
    // A mesh peer ends no connection without GOAWAY, and serves what was on its way.
    const isCareful = care === "proven" && this.#target.expectedIdentity === undefined;
    if (isBusy && (!isCareful || nowMs - connection.takenMs > AT_WORK_MS)) return USABLE;
    const idleMs = isBusy ? connection.idleBeforeMs : nowMs - connection.idleSinceMs;
    if (!isCareful) return this.#lifetime.judge(idleMs, opened, announcedMs, !isMultiplexed);
    const sentMs = isBusy ? connection.sentBeforeMs : nowMs - connection.sentMs;
    return this.#lifetime.judgeCareful(idleMs, sentMs, opened, announcedMs, !isMultiplexed);
  }

  /** What would be taken has been idle for a while. */
  #isLongIdle(nowMs: number): boolean {
    const newest = this.#available.at(-1);
    return newest?.activeStreams === 0 && newest.opened > 0 && nowMs - newest.idleSinceMs >= SECOND_LOOK_MS;
  }

  /** All that peers had sent by then has been read: the connection that has been idle for longest was open then. */
  #learnFromOldest(openMs: number): void {
    const oldest = this.#available[0];
    if (oldest?.activeStreams === 0) this.#lifetime.seenOpen(openMs - oldest.idleSinceMs, oldest.opened);
  }

  /** A few connections more may relieve a socket that is full; beyond that the peer is slow, whatever we open. */
  #isCongested(connection: PoolConnection): boolean {
    return this.#connections.size < MAX_FOR_CONGESTION && connection.isCongested(this.#context.clock);
  }

  #give(connection: PoolConnection, handler: StreamHandler, waiter: OpenWaiter, nowMs: number): void {
    const { info } = connection;
    if (info === undefined) return;
    if (connection.activeStreams === 0) {
      connection.takenMs = nowMs;
      connection.idleBeforeMs = nowMs - connection.idleSinceMs;
      connection.sentBeforeMs = nowMs - connection.sentMs;
      if (waiter.care === "proven" && this.#judge(connection, "proven", nowMs) === UNTRIED) {
        connection.isTrial = true;
        this.#lifetime.startTrial(nowMs);
      }
    }
    const stream: HttpStream = connection.open(handler, nowMs);
    const limit = this.#target.http.maxRequestsPerConnection;
    const learned = connection.isMultiplexed ? Infinity : this.#lifetime.limitRequests;
    // Before the head is sent, so that an HTTP/1 codec says `Connection: close` in it.
    if ((limit > 0 && connection.opened >= limit) || connection.opened >= learned) connection.retire();
    waiter.onReady(stream, info, connection.opened > 1);
  }

  #endTrial(connection: PoolConnection): void {
    if (!connection.isTrial) return;
    connection.isTrial = false;
    this.#lifetime.endTrial();
  }

  /** Gives those that wait what this connection can carry, and keeps it for later. */
  #serve(connection: PoolConnection, nowMs: number): void {
    this.#unlist(connection);
    while (connection.isAvailable) {
      const { first } = this.#waiting;
      if (first === undefined) break;
      const isInNeed = this.#waiting.length > this.#expected.count;
      if (!isInNeed && !this.#suits(connection, first.waiter.care ?? "none", nowMs)) break;
      this.#shift();
      this.#give(connection, first.handler, first.waiter, nowMs);
    }
    // A waiter may have opened a stream meanwhile, so that it is listed already.
    if (connection.isAvailable) this.#list(connection);
    if (this.#isClosing) this.close();
    else this.#connectMore();
  }

  #suits(connection: PoolConnection, care: Care, nowMs: number): boolean {
    const fit = this.#judge(connection, care, nowMs);
    return fit === USABLE || (fit === UNTRIED && !this.#lifetime.isTrying(nowMs));
  }

  #list(connection: PoolConnection): void {
    if (connection.isListed) return;
    connection.isListed = true;
    this.#available.push(connection);
  }

  #connectMore(): void {
    while (this.#waiting.length > this.#expected.count && this.#connect(true));
    if (this.#waiting.length > this.#expected.count && this.#available.length > 0) this.#serveInNeed();
  }

  /** No connection can be made for those that wait: they get what there is, unless it is sure to end. */
  #serveInNeed(): void {
    const nowMs = this.#context.clock.nowMs();
    while (this.#waiting.length > this.#expected.count) {
      const connection = this.#available.at(-1);
      if (connection === undefined) return;
      this.#unlist(connection);
      if (!connection.isAvailable) continue;
      const waiting = this.#judge(connection, "none", nowMs) >= ENDING_IDLE ? undefined : this.#shift();
      if (waiting === undefined) {
        connection.retire();
        continue;
      }
      this.#give(connection, waiting.handler, waiting.waiter, nowMs);
      if (connection.isAvailable) this.#list(connection);
    }
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
    const connection = new PoolConnection(this, isShared ? this.#expected.each : 1);
    this.#connections.add(connection);
    this.#expected.add(connection);
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
    this.#expected.remove(connection);
    this.#endTrial(connection);
    if (this.#connections.delete(connection)) this.#context.circuit.releaseConnection();
    if (this.#connections.size === 0) this.#sweep.cancel();
  }

  #unlist(connection: PoolConnection): void {
    if (!connection.isListed) return;
    connection.isListed = false;
    const last = this.#available.length - 1;
    if (this.#available[last] === connection) this.#available.length = last;
    else this.#available.splice(this.#available.indexOf(connection), 1);
  }
}
