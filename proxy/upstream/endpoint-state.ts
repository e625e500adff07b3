// What one worker knows of one endpoint of one cluster at run time; survives configuration changes that leave its address.
import { formatAddress } from "#config/model/address.ts";
import type { Endpoint, EndpointHealth } from "#config/model/endpoint.ts";
import { decayed, peakEwma } from "#lib/ewma.ts";
import { LoadWeight } from "./load-weight.ts";
import type { Pool } from "./pool.ts";

/** How an endpoint may be used, after everything that is known of it. */
export type Usability = "healthy" | "degraded" | "unhealthy" | "draining";

export interface SlowStart {
  readonly windowMs: number;
  readonly aggression: number;
  readonly minWeightPercent: number;
}

/** Where an endpoint stands in `ejections.ts`. */
type OutlierStage = "in" | "suspect" | "confirming" | "out" | "returning";

/** The counts that outlier detection keeps of an endpoint. */
export class OutlierCounts {
  consecutive5xx = 0;
  consecutiveGatewayFailure = 0;
  consecutiveLocalOrigin = 0;
  /** Of the interval that runs. */
  intervalTotal = 0;
  intervalSuccesses = 0;
  /** What the proxy itself saw, where that is counted apart. */
  localIntervalTotal = 0;
  localIntervalSuccesses = 0;
  /** Ejections in short order; multiplies the base time. */
  ejections = 0;
  stage: OutlierStage = "in";
  /** Its stage is any but "in". */
  isEjected = false;
  /** When it came back, for counting ejections down. */
  returnedMs = 0;

  clearConsecutive(): void {
    this.consecutive5xx = 0;
    this.consecutiveGatewayFailure = 0;
    this.consecutiveLocalOrigin = 0;
  }

  endInterval(): void {
    this.intervalTotal = 0;
    this.intervalSuccesses = 0;
    this.localIntervalTotal = 0;
    this.localIntervalSuccesses = 0;
  }
}

export class EndpointState {
  /** `10.0.0.1:80`, also its place on hash rings. */
  readonly key: string;
  endpoint: Endpoint;
  activeRequests = 0;
  readonly outlier = new OutlierCounts();
  readonly load = new LoadWeight();
  /** By protocol: HTTP/1, HTTP/2, chosen by ALPN. Made when first needed. */
  readonly pools: (Pool | undefined)[] = [undefined, undefined, undefined];
  /** From active health checks; undefined while there was none. */
  checkedHealth: EndpointHealth | undefined = undefined;
  /** It came new and waits for its first active check (Envoy: PENDING_ACTIVE_HC). */
  isUnchecked = false;
  /** ... and until then is as if it was not there. */
  isIgnoredUnchecked = false;
  /** Until then its `Retry-After` asked for quiet (peak EWMA). */
  quietUntilMs = 0;
  /** When its slow start began; -Infinity = never. */
  slowStartMs = Number.NEGATIVE_INFINITY;
  isRemoved = false;
  totalRequests = 0;
  totalFailures = 0;
  #slowStart: SlowStart | undefined = undefined;
  #ewmaMs = 0;
  #ewmaAtMs = 0;

  constructor(endpoint: Endpoint) {
    this.key = formatAddress(endpoint);
    this.endpoint = endpoint;
  }

  usability(): Usability {
    return this.outlier.isEjected && this.#told() !== "draining" ? "unhealthy" : this.#told();
  }

  /** Nothing but its own answers speaks against it. */
  isTriable(): boolean {
    const told = this.#told();
    return told === "healthy" || told === "degraded";
  }

  /** What the registry and the active checks say. */
  #told(): Usability {
    const told = this.endpoint.health;
    if (told === "draining") return "draining";
    if (told === "unhealthy" || told === "timeout") return "unhealthy";
    const checked = this.checkedHealth;
    if (checked === undefined && this.isUnchecked) return this.isIgnoredUnchecked ? "draining" : "unhealthy";
    if (checked === "unhealthy" || checked === "timeout") return "unhealthy";
    if (checked === "draining") return "draining";
    return told === "degraded" || checked === "degraded" ? "degraded" : "healthy";
  }

  /** Undefined: full weight from the start. */
  setSlowStart(slowStart: SlowStart | undefined): void {
    this.#slowStart = slowStart;
  }

  isStartingSlowly(nowMs: number): boolean {
    return this.#slowStart !== undefined && nowMs - this.slowStartMs < this.#slowStart.windowMs;
  }

  /**
   * The weight now, above 0. In slow start it is cut by max(minWeightPercent, (time / window)^(1 / aggression)), Envoy's formula
   * (config.cluster.v3 SlowStartConfig).
   */
  weightAt(nowMs: number): number {
    return Math.max(this.endpoint.weight, 1) * this.slowStartFactor(nowMs);
  }

  /** From above 0 to 1. */
  slowStartFactor(nowMs: number): number {
    const slowStart = this.#slowStart;
    if (slowStart === undefined) return 1;
    const elapsed = nowMs - this.slowStartMs;
    if (elapsed >= slowStart.windowMs) return 1;
    const time = Math.max(elapsed, 1) / slowStart.windowMs;
    return Math.min(1, Math.max(slowStart.minWeightPercent / 100, time ** (1 / slowStart.aggression)));
  }

  /** Takes a latency into the peak EWMA; a failure comes in as a penalty. */
  sampleLatency(latencyMs: number, nowMs: number, decayMs: number): void {
    this.#ewmaMs = peakEwma(this.#ewmaMs, latencyMs, nowMs - this.#ewmaAtMs, decayMs);
    this.#ewmaAtMs = nowMs;
  }

  /** Estimated ms to an answer; `initialMs` while there was no sample. */
  latencyAt(nowMs: number, decayMs: number, initialMs: number): number {
    if (this.#ewmaAtMs === 0) return initialMs;
    return decayed(this.#ewmaMs, nowMs - this.#ewmaAtMs, decayMs);
  }
}
