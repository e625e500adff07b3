// The data plane of one worker, wired together: listeners -> connections -> exchanges -> clusters. Read it top to bottom.
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, EndpointHealth } from "#config/model/endpoint.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { TimerWheel } from "#lib/timer-wheel.ts";
import type { Speculation, SpeculationOwner } from "#proxy/listener/detection.ts";
import { ListenerSet } from "#proxy/listener/listener-set.ts";
import type { ConnectionHandler } from "#proxy/listener/listener.ts";
import type { OriginalDestination } from "#proxy/listener/original-destination.ts";
import { ListenerTls } from "#proxy/listener/server-tls.ts";
import { Breakers } from "#proxy/resilience/breakers.ts";
import type { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { SystemReadings } from "#proxy/resilience/system-readings.ts";
import type { CompiledRouteTable } from "#proxy/route/route-table.ts";
import { compileRouteTable } from "#proxy/stream/compile-table.ts";
import { callUnary } from "#proxy/stream/unary-call.ts";
import type { HttpService, LookUpHost } from "#proxy/stream/http-service.ts";
import { ReplayBudget } from "#proxy/stream/request-body.ts";
import { LineFile } from "#proxy/telemetry/access-log.ts";
import { ExchangeRecorder } from "#proxy/telemetry/exchange-recorder.ts";
import { Metrics, type Counter } from "#proxy/telemetry/metrics.ts";
import { ExplainRing, type SpanRecord } from "#proxy/telemetry/records.ts";
import { TraceWatch } from "#proxy/telemetry/trace-watch.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { ClusterTable, systemLookup } from "#proxy/upstream/cluster-set.ts";
import { WireConnector } from "#proxy/upstream/wire-connector.ts";
import type { Answers, ApplyFailure, ConfigDelta, ProfileQuery, Query } from "#proxy/worker/protocol.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import { WireLoop, type AcceptMode } from "#proxy/wire/wire-loop.ts";

import { clusterStatuses } from "./cluster-status.ts";
import { compileService, type ServiceParts } from "./compile-service.ts";
import { Connections, type Connection } from "./connections.ts";
import { CountingConnector } from "./counting-connector.ts";
import { FilterRuntime, loadFilters } from "./filter-runtime.ts";
import { DownstreamView } from "./http-connection.ts";
import { bindHttpConnection } from "./http-server.ts";
import { connectionShape } from "./listener-shape.ts";
import { Overload, type OverloadLevel } from "./overload.ts";
import { makePlaneGauges } from "./plane-gauges.ts";
import { TcpService } from "./tcp-service.ts";

export interface DataPlaneOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly cells: SharedCells;
  readonly acceptMode: AcceptMode;
  readonly proxyName: string;
  /** `node.cluster`. */
  readonly localCluster: string;
  readonly reusePort: boolean;
  /** Asked once, when a listener wants it. */
  readonly loadOriginalDestination: () => OriginalDestination;
  readonly onSpan: (span: SpanRecord) => void;
  /** For tables whose hosts come on demand. */
  readonly lookUpHost?: LookUpHost | undefined;
  /** Opaque sessions of a listener that is gone have so long, ms. */
  readonly drainTimeMs: number;
  /** Of session tickets; the same in all workers. */
  readonly ticketSecret: Uint8Array;
}

/** A service that may be replaced while its connections live. */
interface ServiceHolder {
  current: HttpService;
  /** Counters of its connections, once there was one. */
  http1: Counter | undefined;
  http2: Counter | undefined;
}

export class DataPlane implements ConnectionHandler {
  readonly metrics = new Metrics();
  readonly explain = new ExplainRing();
  readonly traceWatch = new TraceWatch();
  readonly #options: DataPlaneOptions;
  readonly #secrets = new MemorySecretStore();
  readonly #clusters: ClusterTable;
  readonly #breakers: Breakers;
  /** Undefined until a filter wants them. */
  #system: SystemReadings | undefined = undefined;
  readonly #filters: FilterRuntime;
  readonly #listeners: ListenerSet;
  readonly #serviceParts: ServiceParts;
  readonly #routes = new Map<string, CompiledRouteTable>();
  readonly #clusterConfigs = new Map<string, Cluster>();
  readonly #assignments = new Map<string, ClusterLoadAssignment>();
  /** By listener and chain name (`#2` for a chain without one): what lives on through changes. */
  readonly #services = new Map<string, Map<string, ServiceHolder>>();
  readonly #serviceOf = new WeakMap<FilterChain, ServiceHolder>();
  readonly #connections: Connections;
  readonly #tcp: TcpService;
  #originalDestination: OriginalDestination | undefined = undefined;
  readonly #overload = new Overload();
  readonly #refusal = () => this.#overload.refusal();
  readonly #files = new Map<string, LineFile>();
  /** By listener: what its connections were accepted under. */
  readonly #shapes = new Map<string, string>();
  /** Hosts of on-demand tables that requests went to. */
  readonly #usedHosts = new Set<string>();
  #version = "";

  constructor(options: DataPlaneOptions) {
    const { clock, random, log, cells } = options;
    this.#options = options;
    const loop = new WireLoop({ clock, acceptMode: options.acceptMode });
    const connector = new CountingConnector(new WireConnector({ loop, secrets: this.#secrets }), this.metrics);
    this.#connections = new Connections(clock);
    const ejections = this.metrics.counter("heddle_ejections_total", "Endpoints taken out of balancing.", {});
    this.#clusters = new ClusterTable({
      clock,
      random,
      log,
      connector,
      cells,
      lookup: systemLookup,
      onEjection: (cluster, address, reason) => {
        if (reason !== undefined) ejections.add(1);
        log.info(reason === undefined ? "an endpoint came back" : "an endpoint was ejected", {
          cluster,
          address,
          reason,
        });
      },
    });
    this.#breakers = new Breakers({
      clock,
      cells,
      onChange: (scope, state, key) => this.#onBreaker(scope, state, key),
    });
    this.#filters = new FilterRuntime({
      clock,
      random,
      log,
      localCluster: options.localCluster,
      metrics: this.metrics,
      cells: (key, count) => cells.cells(key, count),
      shares: (key, count) => cells.shares(key, count),
      breaker: (cluster, policy) => this.#breakers.get(cluster, policy),
      breakers: (scope, policy) => this.#breakers.keyed(scope, policy),
      unary: (request, onResult) => callUnary(this.#clusters.get(request.cluster), request, clock, onResult),
      system: () => (this.#system ??= new SystemReadings(clock)),
    });
    const recorder = new ExchangeRecorder({
      metrics: this.metrics,
      explain: this.explain,
      traceWatch: this.traceWatch,
      onSpan: options.onSpan,
      lineFile: (path) => this.#file(path),
    });
    this.#serviceParts = {
      filters: this.#filters,
      clusters: this.#clusters,
      lookUpHost: options.lookUpHost,
      routeTable: (name) => this.#routes.get(name),
      clock,
      timers: new TimerWheel(clock),
      random,
      log,
      observer: {
        onExchangeDone: (exchange) => {
          if (exchange.connection instanceof DownstreamView) exchange.connection.exchangeEnded(exchange.endMs);
          recorder.onExchangeDone(exchange);
        },
      },
      replay: new ReplayBudget(),
      proxyName: options.proxyName,
      version: () => this.#version,
    };
    this.#tcp = new TcpService({
      clock,
      random,
      log,
      metrics: this.metrics,
      explain: this.explain,
      clusters: this.#clusters,
      connections: this.#connections,
      lineFile: (path) => this.#file(path),
      version: () => this.#version,
    });
    this.#listeners = new ListenerSet({
      loop,
      tls: new ListenerTls(loop, this.#secrets, options.ticketSecret),
      handler: this,
      log,
      originalDestination: () => this.#originalDestination,
      cells,
      reusePort: options.reusePort,
    });
    makePlaneGauges(this.metrics, {
      breakers: this.#breakers,
      clusters: this.#clusters,
      connections: this.#connections,
      cells,
      overload: this.#overload,
    });
  }

  /** Name and open port of each listener. */
  get ports(): ReadonlyMap<string, number> {
    return this.#listeners.ports();
  }

  /**
   * Puts a change to work: clusters before what names them, routes and services beside the live ones and then in their place.
   * What fails is told and its old version stays.
   */
  async apply(delta: ConfigDelta): Promise<readonly ApplyFailure[]> {
    const failures: ApplyFailure[] = [];
    await loadFilters(delta.listeners.changed.map(([, listener]) => listener));
    this.#version = delta.version;
    this.#applySecrets(delta);
    this.#applyClusters(delta);
    this.#applyRoutes(delta, failures);
    const listeners = await this.#withOriginalDestination(this.#compileListeners(delta, failures), failures);
    const failed = await this.#listeners.apply(listeners, delta.listeners.removed);
    for (const { name, message } of failed) failures.push({ type: "listener", name, message });
    for (const name of delta.listeners.removed) {
      this.#services.delete(name);
      this.#filters.forget(name);
      this.#shapes.delete(name);
      this.#connections.drainListener(name, this.#options.drainTimeMs);
    }
    const bad = new Set(failed.map(({ name }) => name));
    for (const listener of listeners) if (!bad.has(listener.name)) this.#drainIfChanged(listener);
    return failures;
  }

  setHealth(cluster: string, endpoint: string, health: EndpointHealth): void {
    this.#clusters.setHealth(cluster, endpoint, health);
  }

  /** Profiles are of the thread and not of the plane: the worker makes them. */
  answer(query: Exclude<Query, ProfileQuery>): Answers[Query["kind"]] {
    switch (query.kind) {
      case "metrics":
        return this.metrics.snapshot();
      case "explain":
        return this.explain.find(query.requestId);
      case "latest":
        return this.explain.latest(query.count);
      case "breakers":
        return [
          ...this.#breakers.states().map(([scope, state]) => ({ scope, key: "", state })),
          ...this.#breakers.scopedStates(),
        ];
      case "clusters":
        return clusterStatuses(
          this.#clusters.snapshot(),
          new Map(this.#breakers.states()),
          this.#clusterConfigs,
          this.#assignments,
        );
      case "findings":
        return this.traceWatch.findings;
      case "hosts": {
        const used = [...this.#usedHosts];
        this.#usedHosts.clear();
        return used;
      }
      default:
        return query satisfies never;
    }
  }

  /**
   * Ends without failing anything: accepts what the kernel still holds, asks every client to go (GOAWAY, `Connection: close`),
   * and resolves when nothing runs any more or the time is up. Opaque sessions have until then.
   */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.nowMs() + timeoutMs;
    this.#connections.drain();
    await this.#listeners.closeWhenQuiet(timeoutMs / 2);
    await this.#connections.whenEmpty(Math.max(0, endMs - clock.nowMs()));
    this.#clusters.close();
    this.#breakers.shutDown();
    for (const file of this.#files.values()) file.closeNow();
  }

  /** No client would wait while this thread does something else. */
  get hasNoConnections(): boolean {
    return this.#connections.isEmpty;
  }

  /** How much of the memory limit the process uses, as the main thread sees it. */
  setOverload(level: OverloadLevel): void {
    this.#overload.level = level;
    if (level !== "shed") return;
    const closed = this.#connections.closeIdle();
    this.#options.log.warn("idle connections are closed: memory is nearly used up", { closed });
  }

  // ---- connections, from the listeners

  onHttp(wire: Wire, protocol: "http1" | "http2", firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    const holder = this.#serviceOf.get(chain);
    if (holder === undefined) {
      wire.destroy();
      return;
    }
    const connection: Connection = {
      place: -1,
      kind: "http",
      listener: listener.name,
      isIdle: () => bound.codec.activeStreams === 0,
      drain: () => bound.drain(),
    };
    const bound = bindHttpConnection(wire, protocol, firstBytes, {
      service: () => holder.current,
      clock: this.#options.clock,
      overload: this.#refusal,
      onClosed: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    (holder[protocol] ??= this.#connectionCounter(listener, protocol)).add(1);
  }

  onTcp(wire: Wire, firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    if (chain.network.kind !== "tcp") return;
    this.#connectionCounter(listener, "tcp").add(1);
    this.#tcp.serve(wire, firstBytes, listener, chain.network.tcp);
  }

  onSilent(wire: Wire, listener: Listener, chain: FilterChain, owner: SpeculationOwner): Speculation | undefined {
    if (chain.network.kind !== "tcp") return undefined;
    const speculation = this.#tcp.speculate(wire, listener, chain.network.tcp, owner);
    return {
      adopt: (firstBytes) => {
        this.#connectionCounter(listener, "tcp").add(1);
        speculation.adopt(firstBytes);
      },
      discard: () => {
        this.metrics
          .counter("heddle_speculations_unused_total", "Connections for silent clients that were closed unused.", {
            listener: listener.name,
          })
          .add(1);
        speculation.discard();
      },
    };
  }

  onRefused(listener: Listener, reason: string): void {
    this.metrics
      .counter("heddle_connections_refused_total", "Connections that got no further than the listener.", {
        listener: listener.name,
        reason,
      })
      .add(1);
  }

  // ---- configuration

  #applySecrets({ secrets }: ConfigDelta): void {
    for (const [, secret] of secrets.changed) this.#secrets.set(secret);
    for (const name of secrets.removed) this.#secrets.delete(name);
  }

  #applyClusters({ clusters, assignments }: ConfigDelta): void {
    if (
      clusters.changed.length + clusters.removed.length + assignments.changed.length + assignments.removed.length ===
      0
    )
      return;
    for (const [name, cluster] of clusters.changed) this.#clusterConfigs.set(name, cluster);
    for (const name of clusters.removed) this.#clusterConfigs.delete(name);
    for (const [name, assignment] of assignments.changed) this.#assignments.set(name, assignment);
    for (const name of assignments.removed) this.#assignments.delete(name);
    this.#clusters.apply([...this.#clusterConfigs.values()], this.#assignments);
    this.#breakers.retain(new Set(this.#clusterConfigs.keys()));
  }

  #applyRoutes({ routes }: ConfigDelta, failures: ApplyFailure[]): void {
    for (const [name, table] of routes.changed) {
      try {
        this.#routes.set(
          name,
          compileRouteTable(table, (override) => this.#filters.parseOverride(override), this.#usedHosts),
        );
      } catch (error) {
        failures.push({ type: "route", name, message: describeError(error) });
      }
    }
    for (const name of routes.removed) this.#routes.delete(name);
  }

  /** The listeners whose services compiled. */
  #compileListeners({ listeners }: ConfigDelta, failures: ApplyFailure[]): readonly Listener[] {
    const compiled: Listener[] = [];
    for (const [name, listener] of listeners.changed) {
      try {
        this.#compileListener(listener);
        compiled.push(listener);
      } catch (error) {
        failures.push({ type: "listener", name, message: describeError(error) });
      }
    }
    return compiled;
  }

  /** Those that can run: where the original destination cannot be read, a listener that needs it must not open. */
  async #withOriginalDestination(
    listeners: readonly Listener[],
    failures: ApplyFailure[],
  ): Promise<readonly Listener[]> {
    if (this.#originalDestination !== undefined || !listeners.some(needsOriginalDestination)) return listeners;
    try {
      this.#originalDestination = this.#options.loadOriginalDestination();
      return listeners;
    } catch (error) {
      const message = describeError(error);
      for (const listener of listeners)
        if (needsOriginalDestination(listener)) failures.push({ type: "listener", name: listener.name, message });
      return listeners.filter((listener) => !needsOriginalDestination(listener));
    }
  }

  #compileListener(listener: Listener): void {
    const chains =
      listener.defaultFilterChain === undefined
        ? listener.filterChains
        : [...listener.filterChains, listener.defaultFilterChain];
    const made: (readonly [name: string, chain: FilterChain, service: HttpService])[] = [];
    for (const [index, chain] of chains.entries()) {
      if (chain.network.kind === "tcp") {
        this.#tcp.check(chain.network.tcp);
        continue;
      }
      made.push([
        chain.name === "" ? `#${index}` : chain.name,
        chain,
        compileService(listener, chain.network.http, this.#serviceParts),
      ]);
    }
    const known = this.#services.get(listener.name);
    const holders = new Map<string, ServiceHolder>();
    this.#services.set(listener.name, holders);
    for (const [name, chain, service] of made) {
      const holder = known?.get(name) ?? { current: service, http1: undefined, http2: undefined };
      holder.current = service;
      holder.http1 = undefined;
      holder.http2 = undefined;
      holders.set(name, holder);
      this.#serviceOf.set(chain, holder);
    }
  }

  /** Connections that were accepted under other rules than now in force go; a change of filters or routes reaches them where they are. */
  #drainIfChanged(listener: Listener): void {
    const { name } = listener;
    const shape = connectionShape(listener);
    const before = this.#shapes.get(name);
    this.#shapes.set(name, shape);
    if (before !== undefined && before !== shape) this.#connections.drainListener(name, this.#options.drainTimeMs);
  }

  // ---- metrics

  #connectionCounter(listener: Listener, protocol: string) {
    return this.metrics.counter("heddle_connections_total", "Connections accepted, by listener and protocol.", {
      listener: listener.name,
      direction: listener.direction,
      protocol,
    });
  }

  /** `scope`: a cluster or a route; `key`: a tenant, where each has its own breaker. */
  #onBreaker(scope: string, state: "closed" | "open" | "half-open", key: string): void {
    this.metrics
      .counter("heddle_breaker_changes_total", "Changes of circuit breakers' states.", { cluster: scope, to: state })
      .add(1);
    this.#options.log.info("a circuit breaker changed", { scope, state, ...(key === "" ? {} : { key }) });
  }

  #file(path: string): LineFile {
    let file = this.#files.get(path);
    if (file === undefined) this.#files.set(path, (file = new LineFile(path, this.#options.clock, this.#options.log)));
    return file;
  }
}

function needsOriginalDestination({ bindToPort, useOriginalDst }: Listener): boolean {
  return bindToPort && useOriginalDst;
}
