// Outlier detection: takes an endpoint out of balancing for a while when its own answers are bad (Envoy: upstream/outlier).
import type { OutlierDetection } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Labels } from "#config/model/route.ts";
import type { AttemptFailure } from "#filters/filter.ts";
import type { Timer } from "#lib/clock.ts";
import type { AttemptReport } from "./contract.ts";
import { type EjectionContext, Ejections } from "./ejections.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { findOutliers } from "./outlier-statistics.ts";

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

/** Finds who answers badly: so many errors in a row, or worse than its peers in a sweep. Sweeps run only while there is something to look at. */
export class OutlierDetector {
  readonly #context: EjectionContext;
  readonly #ejections: Ejections;
  #sweep: Timer | undefined = undefined;

  constructor(settings: OutlierDetection, context: EjectionContext) {
    this.#context = context;
    this.#ejections = new Ejections(settings, {
      ...context,
      onChange: (host, reason) => {
        context.onChange(host, reason);
        // Whoever is back is forgiven its ejections by and by.
        if (reason === undefined && this.#sweep === undefined) this.#scheduleSweep();
      },
    });
  }

  /** Other limits; what was counted and who is out stays. */
  update(settings: OutlierDetection): void {
    this.#ejections.settings = settings;
  }

  get #settings(): OutlierDetection {
    return this.#ejections.settings;
  }

  report(host: EndpointState, result: AttemptReport): void {
    if (result.kind === "cancelled") return;
    if (this.#sweep === undefined) this.#scheduleSweep();
    const isSplit = this.#settings.splitExternalLocalOriginErrors;
    if (result.kind === "response") {
      const status = statusOf(result.status, result.grpcStatus);
      if (host.outlier.isEjected) this.#ejections.tried(host, status < 500);
      if (isSplit) this.#localOrigin(host, true);
      this.#external(host, status);
      return;
    }
    if (NOT_ITS_FAULT.has(result.reason)) return;
    if (host.outlier.isEjected) this.#ejections.tried(host, false);
    if (isSplit) this.#localOrigin(host, false);
    else this.#external(host, result.reason === "per-try-timeout" ? 504 : 503);
  }

  /** An active check was content with the endpoint. */
  checkSucceeded(host: EndpointState): void {
    if (host.outlier.isEjected && this.#settings.successfulHealthCheckUnejects) this.#ejections.back(host);
  }

  /** An endpoint that is out and whose time for a trial has come; the caller must say when the trial is over. */
  takeTrial(labels: Labels, avoid: readonly Endpoint[]): EndpointState | undefined {
    return this.#ejections.hasTrials ? this.#ejections.takeTrial(labels, avoid) : undefined;
  }

  trialEnded(host: EndpointState): void {
    this.#ejections.trialEnded(host);
  }

  /** An endpoint is gone from the cluster. */
  forget(host: EndpointState): void {
    this.#ejections.forget(host);
  }

  /** Everybody comes back: the policy was removed. */
  close(): void {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    this.#ejections.close();
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
      this.#ejections.found(host, settings.enforcingConsecutiveGatewayFailure, "consecutive gateway failures");
    }
    if (++counts.consecutive5xx >= settings.consecutive5xx && settings.consecutive5xx > 0) {
      counts.consecutive5xx = 0;
      this.#ejections.found(host, settings.enforcingConsecutive5xx, "consecutive 5xx");
    }
  }

  #localOrigin(host: EndpointState, isSuccess: boolean): void {
    const counts = host.outlier;
    const settings = this.#settings;
    counts.localIntervalTotal++;
    if (isSuccess) {
      counts.localIntervalSuccesses++;
      counts.consecutiveLocalOrigin = 0;
      return;
    }
    if (++counts.consecutiveLocalOrigin < settings.consecutiveLocalOriginFailure) return;
    counts.consecutiveLocalOrigin = 0;
    this.#ejections.found(host, settings.enforcingConsecutiveLocalOriginFailure, "consecutive local-origin failures");
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
    for (const { host, enforcingPercent, reason } of findOutliers(hosts, this.#settings))
      this.#ejections.found(host, enforcingPercent, reason);
    let isBusy = false;
    for (const { outlier } of hosts) {
      const { isEjected } = outlier;
      if (outlier.intervalTotal > 0 || outlier.localIntervalTotal > 0 || isEjected || outlier.ejections > 0)
        isBusy = true;
      outlier.endInterval();
      // Each sweep without an ejection forgives one (Envoy: the multiplier counts down).
      if (!isEjected && outlier.ejections > 0 && nowMs - outlier.returnedMs >= this.#settings.intervalMs)
        outlier.ejections--;
    }
    return isBusy;
  }
}

function statusOf(status: number, grpcStatus: number | undefined): number {
  if (grpcStatus === undefined || status >= 500) return status;
  return GRPC_AS_HTTP.get(grpcStatus) ?? status;
}
