// The clocks of one exchange behind a single timer of the wheel: idle stream, whole request, route timeout, attempt. The delay
// before a retry has a timer of its own: it is rare, and the wheel's tick would spoil its jitter.
import type { ForwardAction } from "#config/model/route.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { WheelTimer, type TimerWheel } from "#lib/timer-wheel.ts";
import { attemptTimeoutMs, exchangeTimeoutMs } from "#proxy/resilience/deadline.ts";

/** What the exchange does when one of them fires. */
export interface TimerOwner {
  readonly retry: { readonly perTryTimeoutMs: number; readonly perTryIdleTimeoutMs: number } | undefined;
  /** After so long without an answer another attempt begins; undefined = never. */
  readonly hedge: { readonly delayMs: number } | undefined;
  onIdleTimeout(): void;
  onRequestTimeout(): void;
  onStreamTimeout(maxStreamMs: number): void;
  readonly loop: {
    start(): void;
    onRouteTimeout(timeoutMs: number): void;
    onHedge(): void;
    onTryTimeout(timeoutMs: number): void;
    /** The upstream was silent for so long, before or after its head. */
    onTryIdleTimeout(timeoutMs: number): void;
  };
}

const NEVER = Number.POSITIVE_INFINITY;

/** Durations in ms; 0 = off. The route's and the attempt's clocks start when the request has come wholly (Envoy). */
export class ExchangeTimers extends WheelTimer {
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #owner: TimerOwner;
  #retryTimer: Timer | undefined = undefined;
  #firesAt = NEVER;
  #idleMs = 0;
  #lastActivityMs = 0;
  #requestAt = NEVER;
  #streamMs = 0;
  #streamAt = NEVER;
  #routeMs = 0;
  #routeAt = NEVER;
  #isRequestComplete = false;
  #completeMs = NEVER;
  #tryAt = NEVER;
  #hedgeAt = NEVER;
  #isTryRunning = false;
  #tryIdleMs = 0;
  #lastAnswerMs = 0;

  constructor(clock: Clock, wheel: TimerWheel, owner: TimerOwner) {
    super();
    this.#clock = clock;
    this.#wheel = wheel;
    this.#owner = owner;
  }

  /** The request's head is there. Readings of the clock cost 50 ns each, so one serves for several things here. */
  start(nowMs: number, idleMs: number, requestTimeoutMs: number, maxStreamMs: number): void {
    this.#idleMs = idleMs;
    this.#lastActivityMs = nowMs;
    if (requestTimeoutMs > 0) this.#requestAt = nowMs + requestTimeoutMs;
    if (maxStreamMs > 0) this.#setStream(maxStreamMs, nowMs);
    this.#arm(nowMs);
  }

  /** The route's own idle timeout replaces the listener's; undefined = keep. */
  setIdle(idleMs: number | undefined): void {
    if (idleMs === undefined || idleMs === this.#idleMs) return;
    this.#idleMs = idleMs;
    this.#arm();
  }

  /** The route's own longest life of a stream, from its beginning on, replaces the listener's; undefined = keep. */
  setStream(maxStreamMs: number | undefined, startMs: number): void {
    if (maxStreamMs === undefined || maxStreamMs === this.#streamMs) return;
    this.#setStream(maxStreamMs, startMs);
    this.#arm();
  }

  #setStream(maxStreamMs: number, startMs: number): void {
    this.#streamMs = maxStreamMs;
    this.#streamAt = maxStreamMs > 0 ? startMs + maxStreamMs : NEVER;
  }

  /**
   * Something moved on the stream. Cheap: the timer is put off when it fires. While one runs the wheel reads the clock with each
   * of its ticks, and HTTP/2 with each read.
   */
  touch(): void {
    if (this.#idleMs > 0) this.#lastActivityMs = this.#clock.recentMs();
  }

  /** The upstream sent something. */
  touchTry(nowMs: number = this.#clock.recentMs()): void {
    this.#lastAnswerMs = nowMs;
    this.#lastActivityMs = nowMs;
  }

  /** `askedMs`: the caller's own timeout, where it is believed. The route's timeout, or the caller's `grpc-timeout` where the route honours it. */
  prepareRoute(action: ForwardAction, isGrpc: boolean, head: HeaderBlock, askedMs: number | undefined): void {
    const asked = isGrpc && action.maxGrpcTimeoutMs !== undefined ? head.get("grpc-timeout") : undefined;
    const { timeoutMs, maxGrpcTimeoutMs, grpcTimeoutOffsetMs } = action;
    this.#routeMs = exchangeTimeoutMs(askedMs ?? timeoutMs, maxGrpcTimeoutMs, isGrpc, asked, grpcTimeoutOffsetMs);
  }

  /** The request begins again elsewhere: so does its time, which may be another. */
  restartRoute(timeoutMs: number | undefined): void {
    if (timeoutMs !== undefined) this.#routeMs = timeoutMs;
    const nowMs = this.#clock.nowMs();
    this.#routeAt = this.#isRequestComplete && this.#routeMs > 0 ? nowMs + this.#routeMs : NEVER;
    this.#arm(nowMs);
  }

  /** The time that an attempt which begins now has, in ms; 0 = no limit. */
  attemptLeftMs(): number {
    const elapsed = this.#routeAt === NEVER ? 0 : this.#routeMs - (this.#routeAt - this.#clock.nowMs());
    return attemptTimeoutMs(this.#owner.retry?.perTryTimeoutMs ?? 0, this.#routeMs, elapsed);
  }

  /** What is left of the route's timeout in ms; `Infinity` = there is none. */
  routeLeftMs(): number {
    return this.#routeAt === NEVER ? NEVER : this.#routeAt - this.#clock.nowMs();
  }

  /** What an attempt may be expected to take in ms, for the upstream; 0 = no limit. `isFirst`: nothing has passed yet. */
  expectedMs(isFirst: boolean): number {
    if (!isFirst) return this.attemptLeftMs();
    return attemptTimeoutMs(this.#owner.retry?.perTryTimeoutMs ?? 0, this.#routeMs, 0);
  }

  /** Since the request was complete, in ms; negative while it is not. */
  serviceMs(nowMs: number): number {
    return nowMs - this.#completeMs;
  }

  onRequestComplete(): void {
    this.#isRequestComplete = true;
    this.#requestAt = NEVER;
    const nowMs = this.#clock.nowMs();
    this.#completeMs = nowMs;
    if (this.#routeMs > 0 && this.#routeAt === NEVER) this.#routeAt = nowMs + this.#routeMs;
    if (this.#isTryRunning) this.startTry();
    this.#arm(nowMs);
  }

  startTry(): void {
    this.#isTryRunning = true;
    const { retry, hedge } = this.#owner;
    if ((retry === undefined && hedge === undefined) || !this.#isRequestComplete) return;
    if (hedge !== undefined && hedge.delayMs > 0) this.#hedgeAt = this.#clock.nowMs() + hedge.delayMs;
    if (retry !== undefined) this.#startLimits(retry);
    this.#arm();
  }

  #startLimits(retry: NonNullable<TimerOwner["retry"]>): void {
    if (retry.perTryTimeoutMs > 0) this.#tryAt = this.#clock.nowMs() + retry.perTryTimeoutMs;
    if (retry.perTryIdleTimeoutMs > 0) {
      this.#tryIdleMs = retry.perTryIdleTimeoutMs;
      this.#lastAnswerMs = this.#clock.nowMs();
    }
  }

  /** The attempt has its head: only its silence is timed from now on. */
  stopTry(): void {
    this.#isTryRunning = false;
    this.#tryAt = NEVER;
    this.#hedgeAt = NEVER;
  }

  /** The attempt is over. */
  endTry(): void {
    this.stopTry();
    this.#tryIdleMs = 0;
  }

  /** The upstream has said all it had to: what is left to send is not its time any more. */
  endAnswer(): void {
    this.endTry();
    this.#routeAt = NEVER;
    this.#routeMs = 0;
  }

  startRetry(delayMs: number): void {
    this.endTry();
    this.#retryTimer = this.#clock.setTimer(delayMs, () => {
      this.#retryTimer = undefined;
      this.#owner.loop.start();
    });
  }

  /** The answer has come from an attempt that went on. */
  cancelRetry(): void {
    this.#retryTimer?.cancel();
    this.#retryTimer = undefined;
  }

  /** A tunnel has no end that could be timed. */
  stopRoute(): void {
    this.#routeAt = NEVER;
    this.#routeMs = 0;
    this.#requestAt = NEVER;
  }

  stopAll(): void {
    this.#wheel.cancel(this);
    this.cancelRetry();
    this.#firesAt = NEVER;
    this.#idleMs = 0;
    this.#streamAt = NEVER;
    this.stopRoute();
    this.endTry();
  }

  #arm(nowMs?: number): void {
    const idleAt = this.#idleMs > 0 ? this.#lastActivityMs + this.#idleMs : NEVER;
    const tryIdleAt = this.#tryIdleMs > 0 ? this.#lastAnswerMs + this.#tryIdleMs : NEVER;
    const next = Math.min(
      idleAt,
      this.#requestAt,
      this.#routeAt,
      this.#tryAt,
      tryIdleAt,
      this.#streamAt,
      this.#hedgeAt,
    );
    if (next >= this.#firesAt) return;
    const now = nowMs ?? this.#clock.nowMs();
    this.#firesAt = next;
    this.#wheel.start(this, next - now, now);
  }

  onTimer(): void {
    this.#firesAt = NEVER;
    const now = this.#clock.nowMs();
    if (this.#tryAt <= now) {
      this.stopTry();
      this.#owner.loop.onTryTimeout(this.#owner.retry?.perTryTimeoutMs ?? 0);
    } else if (this.#tryIdleMs > 0 && this.#lastAnswerMs + this.#tryIdleMs <= now) {
      const idleMs = this.#tryIdleMs;
      this.endTry();
      this.#owner.loop.onTryIdleTimeout(idleMs);
    } else if (this.#hedgeAt <= now) {
      this.#hedgeAt = NEVER;
      this.#owner.loop.onHedge();
    }
    if (this.#streamAt <= now) {
      this.#streamAt = NEVER;
      this.#owner.onStreamTimeout(this.#streamMs);
    } else if (this.#routeAt <= now) {
      this.#routeAt = NEVER;
      this.#owner.loop.onRouteTimeout(this.#routeMs);
    } else if (this.#requestAt <= now) {
      this.#requestAt = NEVER;
      this.#owner.onRequestTimeout();
    } else if (this.#idleMs > 0 && this.#lastActivityMs + this.#idleMs <= now) {
      this.#idleMs = 0;
      this.#owner.onIdleTimeout();
    }
    this.#arm();
  }
}
