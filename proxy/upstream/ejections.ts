// Who is out of balancing for its bad answers, for how long, and by which way back.
import type { OutlierDetection } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Labels } from "#config/model/route.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { hasLabels } from "./target.ts";

export interface EjectionContext {
  readonly clock: Clock;
  readonly random: Random;
  /** All endpoints of the cluster. */
  readonly hosts: () => readonly EndpointState[];
  /** An endpoint was taken out (with why) or came back. */
  readonly onChange: (host: EndpointState, reason: string | undefined) => void;
}

const MIN_STEP_MS = 1;

/**
 *   in -- found bad --> out -- min(base * ejections, max) + jitter later --> in            (Envoy's, without stages)
 *
 *   in -- found bad --> suspect -- suspectFor --> confirming -- a trial fails, or confirmUntil --> out
 *    ^                     |                          |                                          |
 *    +---- a success ------+------ a trial's ---------+                  min(base * ejections, max) + jitter
 *    |                                                |                                          v
 *    +------------------ a trial's success -------- returning <----------------------------------+
 *                                                     \-- a trial's failure --> out, for longer
 *
 * A trial is one ordinary request at a time. A successful active check leads back from everywhere, unless the policy says otherwise.
 * Not more than `maxEjectionPercent` are anywhere but in, except for a first one where `alwaysEjectOneHost` says so.
 */
export class Ejections {
  settings: OutlierDetection;
  readonly #context: EjectionContext;
  readonly #timers = new Map<EndpointState, Timer>();
  /** Endpoints that wait for a trial. */
  readonly #waiting = new Set<EndpointState>();

  constructor(settings: OutlierDetection, context: EjectionContext) {
    this.settings = settings;
    this.#context = context;
  }

  /** An endpoint was found bad; `enforcingPercent` is the chance that anything comes of it. */
  found(host: EndpointState, enforcingPercent: number, reason: string): void {
    if (host.outlier.isEjected || host.isRemoved) return;
    if (this.#context.random.next() * 100 >= enforcingPercent || !this.#hasRoom()) return;
    const { stages } = this.settings;
    if (stages === undefined) {
      this.#putOut(host, reason);
      return;
    }
    host.outlier.isEjected = true;
    host.outlier.stage = "suspect";
    this.#after(host, stages.suspectForMs, () => this.#confirm(host, stages.confirmUntilMs - stages.suspectForMs));
    this.#context.onChange(host, `suspect: ${reason}`);
  }

  /** How a request to an endpoint that is not in ended. */
  tried(host: EndpointState, isSuccess: boolean): void {
    const { stage } = host.outlier;
    if (stage === "out") return;
    if (isSuccess) this.back(host);
    // What a suspect still fails was sent before it became one.
    else if (stage !== "suspect") this.#putOut(host, "the trial request failed");
  }

  /** Of the endpoints that wait for a trial, one with these labels that is not avoided. Nothing is waiting: undefined at once. */
  takeTrial(labels: Labels, avoid: readonly Endpoint[]): EndpointState | undefined {
    for (const host of this.#waiting) {
      const { endpoint } = host;
      if (!hasLabels(endpoint.labels, labels) || !host.isTriable()) continue;
      if (avoid.some((one) => one.address === endpoint.address && one.port === endpoint.port)) continue;
      this.#waiting.delete(host);
      return host;
    }
    return undefined;
  }

  get hasTrials(): boolean {
    return this.#waiting.size > 0;
  }

  /** A trial is over, with or without a result; without one another is due. */
  trialEnded(host: EndpointState): void {
    const { stage } = host.outlier;
    if (!host.isRemoved && (stage === "confirming" || stage === "returning")) this.#waiting.add(host);
  }

  back(host: EndpointState): void {
    this.forget(host);
    const counts = host.outlier;
    counts.clearConsecutive();
    counts.isEjected = false;
    counts.stage = "in";
    counts.returnedMs = this.#context.clock.nowMs();
    this.#context.onChange(host, undefined);
  }

  /** An endpoint is gone from the cluster. */
  forget(host: EndpointState): void {
    this.#timers.get(host)?.cancel();
    this.#timers.delete(host);
    this.#waiting.delete(host);
  }

  /** Everybody is in again. */
  close(): void {
    for (const host of this.#context.hosts()) {
      this.forget(host);
      host.outlier.isEjected = false;
      host.outlier.stage = "in";
    }
  }

  #confirm(host: EndpointState, remainingMs: number): void {
    host.outlier.stage = "confirming";
    this.#waiting.add(host);
    this.#after(host, remainingMs, () => this.#putOut(host, "no success until the time to confirm was over"));
  }

  #putOut(host: EndpointState, reason: string): void {
    const counts = host.outlier;
    const { settings } = this;
    this.#waiting.delete(host);
    counts.isEjected = true;
    counts.stage = "out";
    counts.ejections++;
    const longest = Math.max(settings.maxEjectionTimeMs, settings.baseEjectionTimeMs);
    const jitterMs = this.#context.random.next() * settings.maxEjectionTimeJitterMs;
    this.#after(host, Math.min(settings.baseEjectionTimeMs * counts.ejections, longest) + jitterMs, () => {
      if (this.settings.stages === undefined) this.back(host);
      else {
        counts.stage = "returning";
        this.#waiting.add(host);
      }
    });
    this.#context.onChange(host, reason);
  }

  #after(host: EndpointState, delayMs: number, then: () => void): void {
    this.#timers.get(host)?.cancel();
    const timer = this.#context.clock.setTimer(Math.max(MIN_STEP_MS, delayMs), () => {
      this.#timers.delete(host);
      then();
    });
    this.#timers.set(host, timer);
  }

  #hasRoom(): boolean {
    const hosts = this.#context.hosts();
    const out = hosts.reduce((sum, { outlier }) => sum + (outlier.isEjected ? 1 : 0), 0);
    if (out === 0 && this.settings.alwaysEjectOneHost) return true;
    return (out + 1) * 100 <= this.settings.maxEjectionPercent * hosts.length;
  }
}
