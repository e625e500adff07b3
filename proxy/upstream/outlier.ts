// Outlier detection: takes an endpoint out of balancing for a while when its own answers are bad (Envoy: upstream/outlier).
import type { OutlierDetection } from "#config/model/cluster.ts";
import type { AttemptFailure } from "#filters/filter.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { AttemptReport } from "./contract.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { findOutliers } from "./outlier-statistics.ts";

export interface OutlierContext {
  readonly clock: Clock;
  readonly random: Random;
  /** All endpoints of the cluster. */
  readonly hosts: () => readonly EndpointState[];
  /** An endpoint was ejected or came back. */
  readonly onChange: (host: EndpointState, reason: string | undefined) => void;
}

/** gRPC status to HTTP status, as Envoy's Grpc::Utility::grpcToHttpStatus, where it is an error of the server's. */
const GRPC_AS_HTTP = new Map([
  [2, 500],
  [4, 504],
  [12, 501],
  [13, 500],
  [14, 503],
  [15, 500],
]);

/** Refused streams are the peer's right (it drains); overflow and an empty cluster are our own, a bad request is the client's. */
const NOT_ITS_FAULT: ReadonlySet<AttemptFailure> = new Set([
  "refused-stream",
  "no-healthy-endpoint",
  "overflow",
  "unsayable",
]);

const MIN_STEP_MS = 1;

/**
 *   in ---- consecutive errors, or worse than its peers in a sweep ----> ejected
 *    ^                                                                      |
 *    +------------ min(base * ejections, max) + jitter later ---------------+
 *
 * Not more than `maxEjectionPercent` are out at once, judged before the ejection as Envoy did until 1.26: of few endpoints one can
 * always go, else three instances under the default of 10 % would never lose a bad one. Sweeps run only while there is
 * something to look at.
 */
export class OutlierDetector {
  #settings: OutlierDetection;
  readonly #context: OutlierContext;
  #sweep: Timer | undefined = undefined;
  readonly #returns = new Map<EndpointState, Timer>();

  constructor(settings: OutlierDetection, context: OutlierContext) {
    this.#settings = settings;
    this.#context = context;
  }

  /** Other limits; what was counted and who is out stays. */
  update(settings: OutlierDetection): void {
    this.#settings = settings;
  }

  report(host: EndpointState, result: AttemptReport): void {
    if (this.#sweep === undefined) this.#scheduleSweep();
    if (result.kind === "response") {
      if (this.#settings.splitExternalLocalOriginErrors) host.outlier.consecutiveLocalOrigin = 0;
      this.#external(host, statusOf(result.status, result.grpcStatus));
      return;
    }
    if (NOT_ITS_FAULT.has(result.reason)) return;
    if (this.#settings.splitExternalLocalOriginErrors) this.#localOrigin(host);
    else this.#external(host, result.reason === "per-try-timeout" ? 504 : 503);
  }

  /** An endpoint is gone from the cluster, or the cluster itself. */
  forget(host: EndpointState): void {
    this.#returns.get(host)?.cancel();
    this.#returns.delete(host);
  }

  /** Everybody comes back: the policy was removed. */
  close(): void {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const host of this.#returns.keys()) {
      this.forget(host);
      host.outlier.isEjected = false;
    }
  }

  #external(host: EndpointState, status: number): void {
    const counts = host.outlier;
    const settings = this.#settings;
    counts.intervalTotal++;
    if (status < 500) {
      counts.intervalSuccesses++;
      counts.consecutive5xx = 0;
      counts.consecutiveGatewayFailure = 0;
      return;
    }
    const isGateway = status >= 502 && status <= 504;
    counts.consecutiveGatewayFailure = isGateway ? counts.consecutiveGatewayFailure + 1 : 0;
    if (isGateway && counts.consecutiveGatewayFailure === settings.consecutiveGatewayFailure) {
      counts.consecutiveGatewayFailure = 0;
      this.#eject(host, settings.enforcingConsecutiveGatewayFailure, "consecutive gateway failures");
    }
    if (++counts.consecutive5xx >= settings.consecutive5xx && settings.consecutive5xx > 0) {
      counts.consecutive5xx = 0;
      this.#eject(host, settings.enforcingConsecutive5xx, "consecutive 5xx");
    }
  }

  #localOrigin(host: EndpointState): void {
    const counts = host.outlier;
    const settings = this.#settings;
    counts.intervalTotal++;
    if (++counts.consecutiveLocalOrigin < settings.consecutiveLocalOriginFailure) return;
    counts.consecutiveLocalOrigin = 0;
    this.#eject(host, settings.enforcingConsecutiveLocalOriginFailure, "consecutive local-origin failures");
  }

  #eject(host: EndpointState, enforcingPercent: number, reason: string): void {
    const counts = host.outlier;
    if (counts.isEjected || host.isRemoved) return;
    if (this.#context.random.next() * 100 >= enforcingPercent) return;
    const hosts = this.#context.hosts();
    const ejected = hosts.reduce((sum, other) => sum + (other.outlier.isEjected ? 1 : 0), 0);
    const settings = this.#settings;
    if ((ejected * 100) / Math.max(1, hosts.length) >= settings.maxEjectionPercent) return;
    counts.isEjected = true;
    counts.ejections++;
    const longest = Math.max(settings.maxEjectionTimeMs, settings.baseEjectionTimeMs);
    const jitterMs = this.#context.random.next() * settings.maxEjectionTimeJitterMs;
    const delayMs = Math.max(MIN_STEP_MS, Math.min(settings.baseEjectionTimeMs * counts.ejections, longest) + jitterMs);
    counts.ejectedUntilMs = this.#context.clock.nowMs() + delayMs;
    this.#returns.set(
      host,
      this.#context.clock.setTimer(delayMs, () => this.#return(host)),
    );
    this.#context.onChange(host, reason);
  }

  #return(host: EndpointState): void {
    this.#returns.delete(host);
    const counts = host.outlier;
    counts.isEjected = false;
    counts.consecutive5xx = 0;
    counts.consecutiveGatewayFailure = 0;
    counts.consecutiveLocalOrigin = 0;
    counts.returnedMs = this.#context.clock.nowMs();
    this.#context.onChange(host, undefined);
    if (this.#sweep === undefined) this.#scheduleSweep();
  }

  #scheduleSweep(): void {
    const { intervalMs } = this.#settings;
    this.#sweep = this.#context.clock.setTimer(intervalMs, () => {
      this.#sweep = undefined;
      if (this.#sweepHosts()) this.#scheduleSweep();
    });
  }

  /** True: there is a reason to come again. */
  #sweepHosts(): boolean {
    const hosts = this.#context.hosts();
    const nowMs = this.#context.clock.nowMs();
    for (const { host, enforcingPercent, reason } of findOutliers(hosts, this.#settings)) {
      this.#eject(host, enforcingPercent, reason);
    }
    let isBusy = false;
    for (const { outlier } of hosts) {
      if (outlier.intervalTotal > 0 || outlier.isEjected || outlier.ejections > 0) isBusy = true;
      outlier.intervalTotal = 0;
      outlier.intervalSuccesses = 0;
      // Each sweep without an ejection forgives one (Envoy: the multiplier counts down).
      if (!outlier.isEjected && outlier.ejections > 0 && nowMs - outlier.returnedMs >= this.#settings.intervalMs) {
        outlier.ejections--;
      }
    }
    return isBusy;
  }
}

function statusOf(status: number, grpcStatus: number | undefined): number {
  if (grpcStatus === undefined || status >= 500) return status;
  return GRPC_AS_HTTP.get(grpcStatus) ?? status;
}
