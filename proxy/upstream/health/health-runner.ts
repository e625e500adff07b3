// Active health checks, on the main thread: asks every endpoint of clusters that want it, and tells what it found.
import { isDeepStrictEqual } from "node:util";
import { formatAddress } from "#config/model/address.ts";
import type { Cluster, HealthCheck } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint, EndpointHealth } from "#config/model/endpoint.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import { describeError } from "#lib/errors.ts";
import type { Random } from "#lib/random.ts";
import type { ClientTls } from "#proxy/wire/connect.ts";
import type { ConnectTarget } from "../connector.ts";
import { resolveTarget } from "../target.ts";
import type { MakeProbe, Probe, ProbeResult } from "./probe.ts";

export interface HealthRunnerContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly makeProbe: MakeProbe;
  /** TLS towards an endpoint (`UpstreamTlsContext.forTarget`). */
  readonly makeTls: (target: ConnectTarget) => ClientTls | undefined;
  /** Whether any request was for the cluster so far: others are asked less often. */
  readonly hasTraffic: (cluster: string) => boolean;
  readonly onResult?: (result: ProbeResult) => void;
  /**
   * For `ClusterSet.setHealth` of every worker: changes and the first result, and each success where it may end an ejection, which
   * only workers know of.
   */
  readonly onHealth: (cluster: string, address: string, health: EndpointHealth) => void;
  /** What was found of an endpoint holds no more: it is gone, or is checked anew. */
  readonly onForgotten?: (cluster: string, address: string) => void;
}

interface Watched {
  /** As of the last configuration: what else it says of ejections holds for checks that go on. */
  cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly checks: readonly EndpointCheck[];
  health: EndpointHealth | undefined;
}

/** Endpoints that stay keep what is known of them; of several checks all must be content. */
export class HealthRunner {
  readonly #context: HealthRunnerContext;
  readonly #watched = new Map<string, Watched>();

  constructor(context: HealthRunnerContext) {
    this.#context = context;
  }

  /** `assignments` by cluster name: the endpoints that the workers have, with IP addresses. */
  apply(clusters: readonly Cluster[], assignments: ReadonlyMap<string, ClusterLoadAssignment>): void {
    const seen = new Set<string>();
    for (const cluster of clusters) {
      if (cluster.healthChecks.length === 0) continue;
      const assignment =
        cluster.discovery.kind === "static" ? cluster.discovery.assignment : assignments.get(cluster.name);
      for (const endpoint of assignment?.localities.flatMap(({ endpoints }) => endpoints) ?? []) {
        const key = `${cluster.name} ${formatAddress(endpoint)}`;
        seen.add(key);
        this.#watch(key, cluster, endpoint);
      }
    }
    for (const key of this.#watched.keys()) if (!seen.has(key)) this.#forget(key);
  }

  close(): void {
    for (const key of this.#watched.keys()) this.#forget(key);
  }

  #watch(key: string, cluster: Cluster, endpoint: Endpoint): void {
    const known = this.#watched.get(key);
    if (known !== undefined && isSameSubject(known, cluster, endpoint)) {
      known.cluster = cluster;
      return;
    }
    this.#forget(key);
    const target = resolveTarget(cluster, endpoint, "raw");
    // Never in plaintext to a known identity: what cannot be called cannot be checked either.
    if (typeof target === "string") {
      this.#context.log.warn("cannot check the health of an endpoint", { cluster: cluster.name, reason: target });
      return;
    }
    const watched: Watched = {
      cluster,
      endpoint,
      health: undefined,
      checks: cluster.healthChecks.map((check) => this.#start(key, cluster, endpoint, check, target)),
    };
    this.#watched.set(key, watched);
  }

  #start(key: string, cluster: Cluster, endpoint: Endpoint, check: HealthCheck, target: ConnectTarget): EndpointCheck {
    // gRPC is HTTP/2, and its servers want that said in ALPN.
    const wanted = check.check.kind === "grpc" ? ({ ...target, protocol: "http2" } as const) : target;
    const tls = target.tls === undefined ? undefined : this.#context.makeTls(wanted);
    const { address } = target;
    const port = endpoint.healthCheckPort ?? target.port;
    const probe = this.#context.makeProbe({ cluster, endpoint, check, address, port, tls });
    const hasTraffic = (): boolean => this.#context.hasTraffic(cluster.name);
    return new EndpointCheck(check, probe, this.#context, hasTraffic, (error) => this.#onResult(key, error));
  }

  #onResult(key: string, error: string | undefined): void {
    const watched = this.#watched.get(key);
    if (watched === undefined || watched.checks.some(({ isHealthy }) => isHealthy === undefined)) return;
    const health = healthOf(watched.checks);
    const mayReturn = health !== "unhealthy" && watched.cluster.outlier?.successfulHealthCheckUnejects === true;
    if (watched.health === health && !mayReturn) return;
    const isChange = watched.health !== health;
    const isNews = isChange && (watched.health !== undefined || health === "unhealthy");
    watched.health = health;
    const { name } = watched.cluster;
    const address = formatAddress(watched.endpoint);
    if (isNews) this.#context.log.info("endpoint health changed", { cluster: name, endpoint: address, health, error });
    this.#context.onHealth(name, address, health);
  }

  #forget(key: string): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    for (const check of watched.checks) check.close();
    this.#watched.delete(key);
    this.#context.onForgotten?.(watched.cluster.name, formatAddress(watched.endpoint));
  }
}

/**
 *   unknown -- first result --> healthy <-- healthyThreshold successes -- unhealthy
 *                                  \--- unhealthyThreshold failures, or one refusal --^
 */
class EndpointCheck {
  isHealthy: boolean | undefined = undefined;
  /** As the last good answer said. */
  isDegraded = false;
  readonly #check: HealthCheck;
  readonly #probe: Probe;
  readonly #context: HealthRunnerContext;
  readonly #hasTraffic: () => boolean;
  readonly #onResult: (error: string | undefined) => void;
  #timer: Timer;
  /** Results in a row that speak against `isHealthy`. */
  #against = 0;
  #isClosed = false;

  constructor(
    check: HealthCheck,
    probe: Probe,
    context: HealthRunnerContext,
    hasTraffic: () => boolean,
    onResult: (error: string | undefined) => void,
  ) {
    this.#check = check;
    this.#probe = probe;
    this.#context = context;
    this.#hasTraffic = hasTraffic;
    this.#onResult = onResult;
    // Spread over the first interval only as far as the jitter says: a new endpoint should be known soon.
    this.#timer = context.clock.setTimer(
      context.random.next() * (check.initialJitterMs ?? check.jitterMs),
      () => void this.#run(),
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#timer.cancel();
    this.#probe.close();
  }

  async #run(): Promise<void> {
    let result: ProbeResult = "failed";
    let error: string | undefined;
    try {
      result = await this.#probe.check();
    } catch (thrown) {
      error = describeError(thrown);
    }
    if (this.#isClosed) return;
    if (this.#check.reuseConnection === false) this.#probe.close();
    this.#context.onResult?.(result);
    this.#take(result);
    this.#wait(this.#delayMs(isGood(result)), !this.#hasTraffic());
    this.#onResult(error);
  }

  /** The first request to the cluster ends the long wait without traffic: within an interval of it the endpoint is looked at again. */
  #wait(leftMs: number, isQuiet: boolean): void {
    const stepMs = isQuiet ? Math.min(leftMs, this.#check.intervalMs) : leftMs;
    this.#timer = this.#context.clock.setTimer(stepMs, () => {
      if (stepMs >= leftMs || this.#hasTraffic()) void this.#run();
      else this.#wait(leftMs - stepMs, true);
    });
  }

  /** Envoy's choice of interval: by traffic, by the result, and by whether a threshold is being waited for. */
  #delayMs(isWell: boolean): number {
    const { random } = this.#context;
    const { jitterMs, jitterPercent = 0 } = this.#check;
    const baseMs = this.#baseMs(isWell, this.#against > 0);
    return baseMs + random.next() * jitterMs + (random.next() * baseMs * jitterPercent) / 100;
  }

  #baseMs(isWell: boolean, isEdge: boolean): number {
    const { intervalMs, noTrafficIntervalMs, unhealthyIntervalMs = intervalMs, ...check } = this.#check;
    if (!this.#hasTraffic())
      return isWell && !isEdge ? (check.noTrafficHealthyIntervalMs ?? noTrafficIntervalMs) : noTrafficIntervalMs;
    if (isWell) return isEdge ? (check.healthyEdgeIntervalMs ?? intervalMs) : intervalMs;
    return isEdge ? (check.unhealthyEdgeIntervalMs ?? unhealthyIntervalMs) : unhealthyIntervalMs;
  }

  #take(result: ProbeResult): void {
    const isHealthy = isGood(result);
    if (isHealthy) this.isDegraded = result === "degraded";
    if (isHealthy === this.isHealthy) {
      this.#against = 0;
      return;
    }
    const threshold = isHealthy ? this.#check.healthyThreshold : this.#check.unhealthyThreshold;
    if (this.isHealthy !== undefined && result !== "refused" && ++this.#against < threshold) return;
    this.isHealthy = isHealthy;
    this.#against = 0;
  }
}

function isGood(result: ProbeResult): boolean {
  return result === "healthy" || result === "degraded";
}

function healthOf(checks: readonly EndpointCheck[]): "healthy" | "degraded" | "unhealthy" {
  if (!checks.every(({ isHealthy }) => isHealthy)) return "unhealthy";
  return checks.some(({ isDegraded }) => isDegraded) ? "degraded" : "healthy";
}

function isSameSubject(watched: Watched, cluster: Cluster, endpoint: Endpoint): boolean {
  return (
    isDeepStrictEqual(watched.cluster.healthChecks, cluster.healthChecks) &&
    isDeepStrictEqual(watched.cluster.tls, cluster.tls) &&
    isDeepStrictEqual(watched.cluster.tlsMatches, cluster.tlsMatches) &&
    watched.endpoint.healthCheckPort === endpoint.healthCheckPort &&
    isDeepStrictEqual(watched.endpoint.mesh, endpoint.mesh) &&
    isDeepStrictEqual(watched.endpoint.transportSocket, endpoint.transportSocket)
  );
}
