// One cluster of one worker: its endpoints, who may be chosen, its limits, its outliers.
import { isDeepStrictEqual } from "node:util";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint, EndpointHealth } from "#config/model/endpoint.ts";
import type { Labels } from "#config/model/route.ts";
import type { Pick } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { StreamHandler } from "#lib/http/stream.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { endpointKey } from "#lib/session-key.ts";
import { CIRCUIT_CELLS, CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { balancerOf } from "./balancers/standard.ts";
import type { Connector } from "./connector.ts";
import type {
  AttemptReport,
  ClusterSnapshot,
  OpenTicket,
  OpenWaiter,
  PickedEndpoint,
  PickFailure,
  RequestPriority,
  UpstreamCluster,
} from "./contract.ts";
import type { LookupHost } from "./dns-watch.ts";
import * as pools from "./endpoint-pools.ts";
import { EndpointState } from "./endpoint-state.ts";
import type { LocalityGroup } from "./host-selector.ts";
import { takeLoadReport } from "./load-report.ts";
import { OriginalDestinations } from "./original-destination.ts";
import { OutlierDetector } from "./outlier.ts";
import type { PeerLifetimes } from "./peer-lifetime.ts";
import { Picked, type PickOwner } from "./picked.ts";
import type { PoolContext } from "./pool.ts";
import { SubsetIndex } from "./subset-index.ts";
import { hasLabels } from "./target.ts";

/** What the upstream room is made with; one per worker. */
export interface UpstreamContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly connector: Connector;
  readonly cells: SharedCells;
  readonly lookup: LookupHost;
  /** An endpoint was taken out of balancing (with why) or came back. */
  readonly onEjection?: (cluster: string, address: string, reason: string | undefined) => void;
}

const NO_OMIT: NonNullable<Pick["omit"]> = [];
const NOBODY: Pick["avoid"] = [];
const NO_AVOID = (): boolean => false;
/** A failed attempt counts for peak EWMA as if it had taken at least so long (Linkerd's load-biaser: 5 s). */
const FAILURE_PENALTY_MS = 5000;

export class ClusterRuntime implements UpstreamCluster, PickOwner {
  config: Cluster;
  readonly #context: UpstreamContext;
  readonly #circuit: CircuitCounters;
  readonly #highCircuit: CircuitCounters;
  readonly #poolContext: PoolContext;
  readonly #hosts = new Map<string, EndpointState>();
  readonly #destinations: OriginalDestinations;
  #assignment: ClusterLoadAssignment;
  #groups: readonly LocalityGroup[] = [];
  /** Compiled at the first pick after a change. */
  #index: SubsetIndex | undefined = undefined;
  #keys: ReadonlyMap<string, EndpointState> | undefined = undefined;
  #detector: OutlierDetector | undefined = undefined;
  /** Where the first request is noted, for checks that wait for it; undefined = nobody asks. */
  #traffic: Int32Array | undefined = undefined;

  constructor(config: Cluster, assignment: ClusterLoadAssignment, context: UpstreamContext, lifetimes: PeerLifetimes) {
    this.config = config;
    this.#context = context;
    const { name, limits, highPriorityLimits } = config;
    this.#circuit = new CircuitCounters(limits, context.cells.shares(`circuit/${name}/default`, CIRCUIT_CELLS));
    this.#highCircuit = new CircuitCounters(
      highPriorityLimits,
      context.cells.shares(`circuit/${name}/high`, CIRCUIT_CELLS),
    );
    const { clock, connector } = context;
    this.#poolContext = { clock, connector, circuit: this.#circuit, lifetimes, afterEvents: afterNextPoll };
    this.#destinations = new OriginalDestinations(context.clock);
    this.#assignment = assignment;
    this.#setDetector();
    this.#setTraffic();
    this.#setEndpoints(Number.NEGATIVE_INFINITY);
  }

  get assignment(): ClusterLoadAssignment {
    return this.#assignment;
  }

  /** New settings or endpoints; what is equal to before changes nothing at all. */
  update(config: Cluster, assignment: ClusterLoadAssignment): void {
    const isSameConfig = isDeepStrictEqual(config, this.config);
    if (isSameConfig && isDeepStrictEqual(assignment, this.#assignment)) return;
    this.config = config;
    this.#assignment = assignment;
    if (!isSameConfig) {
      this.#circuit.limits = config.limits;
      this.#highCircuit.limits = config.highPriorityLimits;
      this.#setDetector();
      this.#setTraffic();
    }
    this.#setEndpoints(this.#context.clock.nowMs());
    this.#destinations.update(identityOf(config));
    for (const host of this.#destinations.hosts()) pools.refreshPools(config, host);
  }

  admit(isRetry: boolean, priority: RequestPriority = "default", isUnprocessed = false): boolean {
    const circuit = priority === "high" ? this.#highCircuit : this.#circuit;
    return isRetry ? circuit.tryRetry(isUnprocessed) : circuit.tryRequest();
  }

  release(isRetry: boolean, priority: RequestPriority = "default"): void {
    const circuit = priority === "high" ? this.#highCircuit : this.#circuit;
    if (isRetry) circuit.releaseRetry();
    else circuit.releaseRequest();
  }

  pick(pick: Pick, destination?: SocketAddress): PickedEndpoint | PickFailure {
    if (this.config.discovery.kind === "originalDst") {
      if (destination === undefined) return "cluster-empty";
      return new Picked(this, this.#destinations.get(destination, this.config.discovery.identity));
    }
    if (this.#traffic !== undefined) {
      Atomics.store(this.#traffic, 0, 1);
      this.#traffic = undefined;
    }
    if (this.#hosts.size === 0) return "cluster-empty";
    if (this.config.lb.kind === "originalEndpoint") {
      const host = destination && this.#hosts.get(formatAddress(destination));
      if (host === undefined) return "no-healthy-endpoint";
      // Nobody reaches another tenant's endpoint by its address.
      return hasLabels(host.endpoint.labels, pick.labels) ? new Picked(this, host) : "no-endpoint-in-subset";
    }
    if (pick.endpoint !== undefined) {
      const host = this.#named(pick.endpoint);
      // Neither another tenant's nor one that is ill or leaving (Envoy: override_host_status).
      if (host !== undefined && hasLabels(host.endpoint.labels, pick.labels) && isUsable(host))
        return new Picked(this, host);
      if (pick.isStrict === true) return "session-endpoint-gone";
    }
    const trial = this.#detector?.takeTrial(pick.labels, pick.avoid);
    if (trial !== undefined) return new Picked(this, trial, true);
    this.#index ??= this.#compile();
    const selector = this.#index.find(pick.labels);
    if (selector === undefined) return "no-endpoint-in-subset";
    const { avoid, omit = NO_OMIT } = pick;
    const hasAvoid = avoid.length > 0 || omit.length > 0;
    const isAvoided = hasAvoid
      ? (host: EndpointState) =>
          avoid.some((one) => isSameAddress(one, host)) || omit.some((one) => hasLabels(host.endpoint.labels, one))
      : NO_AVOID;
    const hash = pick.hash === undefined ? undefined : pick.hash >>> 0;
    const host = selector.pick(hash, isAvoided, hasAvoid);
    return host === undefined ? "no-healthy-endpoint" : new Picked(this, host);
  }

  hasLabel(key: string): boolean {
    this.#index ??= this.#compile();
    return this.#index.hasLabel(key);
  }

  hasUsable(labels: Labels, avoid: Pick["avoid"] = NOBODY): boolean {
    this.#index ??= this.#compile();
    const selector = this.#index.find(labels);
    if (selector === undefined || avoid.length === 0) return selector?.hasUsable === true;
    return selector.hasUsableBut((host) => avoid.some((one) => isSameAddress(one, host)));
  }

  setHealth(address: string, health: EndpointHealth): void {
    const host = this.#hosts.get(address);
    if (host === undefined) return;
    if (health === "healthy" || health === "degraded") this.#detector?.checkSucceeded(host);
    if (host.checkedHealth === health) return;
    const wasUsable = isUsable(host);
    host.checkedHealth = health;
    const isNowUsable = isUsable(host);
    if (isNowUsable && !wasUsable) host.slowStartMs = this.#context.clock.nowMs();
    if (!isNowUsable && this.config.closeOnHealthFailure) pools.destroyConnections(host, "the health check failed");
    this.#index = undefined;
  }

  renewTls(secrets: ReadonlySet<string>): void {
    for (const host of this.#allHosts()) pools.renewPools(host, secrets);
  }

  close(): void {
    this.#detector?.close();
    for (const host of this.#allHosts()) {
      host.isRemoved = true;
      pools.closePools(host);
    }
    this.#destinations.close();
  }

  openHttp(host: EndpointState, downstream: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return pools.openHttp(this.config, this.#poolContext, host, downstream, handler, waiter);
  }

  openTunnel(host: EndpointState, authority: string, handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return pools.openTunnel(this.config, this.#poolContext, host, authority, handler, waiter);
  }

  reported(host: EndpointState, result: AttemptReport): void {
    if (result.kind === "cancelled") {
      const { lb } = this.config;
      if (lb.kind === "peakEwma") host.sampleLatency(result.latencyMs, this.#context.clock.nowMs(), lb.decayMs);
      return;
    }
    const isFailure = result.kind === "failure" || result.status >= 500;
    if (isFailure) host.totalFailures++;
    this.#detector?.report(host, result);
    const { lb } = this.config;
    if (lb.kind !== "peakEwma") return;
    const nowMs = this.#context.clock.nowMs();
    const latencyMs = isFailure ? Math.max(result.latencyMs, FAILURE_PENALTY_MS) : result.latencyMs;
    host.sampleLatency(latencyMs, nowMs, lb.decayMs);
    if (result.kind === "response" && result.retryAfterMs > 0) {
      host.quietUntilMs = nowMs + Math.min(result.retryAfterMs, 300_000);
    }
  }

  get wantsLoadReports(): boolean {
    return this.config.lb.kind === "weightedByLoad";
  }

  loadReported(host: EndpointState, fields: HeaderBlock): void {
    const { lb } = this.config;
    const report = lb.kind === "weightedByLoad" ? takeLoadReport(fields) : undefined;
    if (report !== undefined && lb.kind === "weightedByLoad") host.load.take(report, lb, this.#context.clock.nowMs());
  }

  finished(host: EndpointState, isTrial: boolean): void {
    if (isTrial) this.#detector?.trialEnded(host);
    if (this.config.discovery.kind === "originalDst") this.#destinations.finished(host);
  }

  snapshot(): ClusterSnapshot {
    return {
      name: this.config.name,
      connections: this.#circuit.connections,
      pending: this.#circuit.pending,
      requests: this.#circuit.requests,
      retries: this.#circuit.retries,
      endpoints: this.#allHosts().map((host) => ({
        address: host.key,
        health: host.checkedHealth ?? host.endpoint.health,
        isEjected: host.outlier.isEjected,
        activeRequests: host.activeRequests,
        connections: pools.countConnections(host),
        totalRequests: host.totalRequests,
        totalFailures: host.totalFailures,
      })),
    };
  }

  #allHosts(): readonly EndpointState[] {
    return [...this.#hosts.values(), ...this.#destinations.hosts()];
  }

  #setDetector(): void {
    const { outlier } = this.config;
    if (outlier === undefined) {
      this.#detector?.close();
      this.#detector = undefined;
    } else if (this.#detector === undefined) {
      const { clock, random } = this.#context;
      this.#detector = new OutlierDetector(outlier, {
        clock,
        random,
        hosts: () => this.#allHosts(),
        onChange: (host, reason) => this.#onEjection(host, reason),
      });
    } else this.#detector.update(outlier);
  }

  #setTraffic(): void {
    const { healthChecks, name } = this.config;
    this.#traffic = healthChecks.length === 0 ? undefined : this.#context.cells.cells(trafficCell(name), 1);
  }

  #onEjection(host: EndpointState, reason: string | undefined): void {
    this.#index = undefined;
    const cluster = this.config.name;
    this.#context.log.info(reason === undefined ? "endpoint returned" : "endpoint ejected", {
      cluster,
      endpoint: host.key,
      reason,
    });
    this.#context.onEjection?.(cluster, host.key, reason);
  }

  /** Known addresses keep their state; new ones start slowly from `startMs`. */
  #setEndpoints(startMs: number): void {
    const seen = new Set<EndpointState>();
    const before = this.config.drainsOnChange === true ? [...this.#hosts.values()] : [];
    this.#groups = this.#assignment.localities.map(({ priority, weight, endpoints }) => ({
      priority,
      weight,
      hosts: endpoints.map((endpoint) => this.#adopt(endpoint, startMs, seen)),
    }));
    for (const [key, host] of this.#hosts) {
      if (seen.has(host)) continue;
      this.#hosts.delete(key);
      host.isRemoved = true;
      this.#detector?.forget(host);
      pools.closePools(host);
    }
    this.#keys = undefined;
    if (before.length > 0 && (before.length !== this.#hosts.size || before.some((host) => host.isRemoved)))
      for (const host of this.#hosts.values()) pools.drainPools(host);
    this.#index = undefined;
  }

  #adopt(endpoint: Endpoint, startMs: number, seen: Set<EndpointState>): EndpointState {
    const key = formatAddress(endpoint);
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = new EndpointState(endpoint);
      host.slowStartMs = startMs;
      host.isUnchecked = startMs !== Number.NEGATIVE_INFINITY;
      this.#hosts.set(key, host);
    } else {
      host.endpoint = endpoint;
      pools.refreshPools(this.config, host);
    }
    // The first endpoints of a cluster are taken for well: nothing waits until they were checked. Names are resolved by workers alone.
    if (this.config.healthChecks.length === 0 || !isCheckable(this.config)) {
      host.isUnchecked = false;
      host.checkedHealth = undefined;
    }
    host.isIgnoredUnchecked = this.config.ignoresUnchecked === true;
    host.setSlowStart(this.config.slowStart);
    seen.add(host);
    return host;
  }

  /** By `endpointKey`; the table is made for the first session after a change of endpoints. */
  #named(key: string): EndpointState | undefined {
    this.#keys ??= new Map([...this.#hosts].map(([address, host]) => [endpointKey(this.config.name, address), host]));
    return this.#keys.get(key);
  }

  #compile(): SubsetIndex {
    const { clock, random } = this.#context;
    return new SubsetIndex(this.#groups, {
      cluster: this.config,
      overprovisioningFactor: this.#assignment.overprovisioningFactor,
      makeBalancer: balancerOf(this.config.lb),
      context: { clock, random },
    });
  }
}

/** The name of the shared cell that says whether a cluster has had a request. */
export function trafficCell(cluster: string): string {
  return `traffic/${cluster}`;
}

function isUsable(host: EndpointState): boolean {
  const usability = host.usability();
  return usability === "healthy" || usability === "degraded";
}

function identityOf({ discovery }: Cluster): string | undefined {
  return discovery.kind === "originalDst" ? discovery.identity : undefined;
}

/** The first `setImmediate` runs at the end of this turn, the second at the end of the next, after its socket events. */
function afterNextPoll(callback: () => void): void {
  setImmediate(() => setImmediate(callback));
}

function isCheckable({ discovery }: Cluster): boolean {
  return discovery.kind === "eds" || discovery.kind === "static";
}

function isSameAddress(endpoint: Endpoint, host: EndpointState): boolean {
  return endpoint.port === host.endpoint.port && endpoint.address === host.endpoint.address;
}
