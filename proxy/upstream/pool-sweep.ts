// Looks through a pool's connections from time to time: what lies open teaches, and what is idle, old or about to end retires.
import type { Clock, Timer } from "#lib/clock.ts";
import type { CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { ConnectTarget } from "./connector.ts";
import { announcedLimitMs, type PeerLifetime } from "./peer-lifetime.ts";
import type { PoolConnection } from "./pool-connection.ts";

/** Connections drain so long before the peer's certificate ends. */
const EXPIRY_MARGIN_MS = 60_000;
const MIN_SWEEP_MS = 50;
const MAX_SWEEP_MS = 30_000;
/** Idle connections near their learned end that are kept unused to see when the peer really closes them. */
const MAX_WATCHED = 3;
/** A sweep that comes so late has seen a stalled loop: what looks open may have been closed long ago. */
const LATE_SWEEP_MS = 100;

export class PoolSweep {
  readonly #connections: ReadonlySet<PoolConnection>;
  readonly #target: () => ConnectTarget;
  readonly #clock: Clock;
  readonly #circuit: CircuitCounters;
  readonly #lifetime: PeerLifetime;
  #timer: Timer | undefined = undefined;

  constructor(
    connections: ReadonlySet<PoolConnection>,
    target: () => ConnectTarget,
    context: { readonly clock: Clock; readonly circuit: CircuitCounters },
    lifetime: PeerLifetime,
  ) {
    this.#connections = connections;
    this.#target = target;
    this.#clock = context.clock;
    this.#circuit = context.circuit;
    this.#lifetime = lifetime;
  }

  /** A few sweeps for each limit, while there are connections. */
  schedule(): void {
    if (this.#timer !== undefined || this.#connections.size === 0) return;
    const { http, tls } = this.#target();
    const shortest = Math.min(
      http.idleTimeoutMs || Infinity,
      http.maxConnectionDurationMs || Infinity,
      this.#lifetime.closesAtMs,
    );
    if (shortest === Infinity && tls === undefined) return;
    const delayMs = Math.min(MAX_SWEEP_MS, Math.max(MIN_SWEEP_MS, shortest / 4));
    const dueMs = this.#clock.nowMs() + delayMs;
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      const nowMs = this.#clock.nowMs();
      if (nowMs - dueMs < LATE_SWEEP_MS) this.#learn(nowMs);
      this.retireStale(nowMs);
      this.schedule();
    });
  }

  /** A limit has changed. */
  restart(): void {
    this.cancel();
    this.schedule();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  retireStale(nowMs: number): void {
    const { idleTimeoutMs, maxConnectionDurationMs } = this.#target().http;
    const { connections, limits } = this.#circuit;
    let watched = connections * 2 < limits.maxConnections ? 0 : MAX_WATCHED;
    // A list that stands still: retiring one connection may open another.
    for (const connection of Array.from(this.#connections)) {
      if (connection.state !== "ready") continue;
      const idleMs = connection.activeStreams > 0 ? 0 : nowMs - connection.idleSinceMs;
      const isIdle =
        (idleTimeoutMs > 0 && idleMs >= idleTimeoutMs) || idleMs >= announcedLimitMs(connection.announcedMs);
      const isOld = maxConnectionDurationMs > 0 && nowMs - connection.connectedMs >= maxConnectionDurationMs;
      const isExpiring = this.#clock.wallMs() >= connection.validUntilMs - EXPIRY_MARGIN_MS;
      const isEnding = idleMs >= this.#lifetime.idleLimitMs;
      if (isIdle || isOld || isExpiring || (isEnding && watched++ >= MAX_WATCHED)) connection.retire();
    }
  }

  #learn(nowMs: number): void {
    const lifetime = this.#lifetime;
    lifetime.forgetOld(nowMs);
    for (const connection of this.#connections) {
      if (connection.state !== "ready" || connection.activeStreams > 0) continue;
      const idleMs = nowMs - connection.idleSinceMs;
      lifetime.seenOpen(idleMs - LATE_SWEEP_MS, connection.opened);
      if (connection.isWitness || idleMs <= lifetime.beyondMs) continue;
      connection.isWitness = true;
      lifetime.outlived(idleMs);
    }
  }
}
