// The data plane of one worker, wired together: listeners -> connections -> exchanges -> clusters. Read it top to bottom.
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, EndpointHealth } from "#config/model/endpoint.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Codec } from "#lib/http/stream.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { TimerWheel } from "#lib/timer-wheel.ts";
import { ListenerSet } from "#proxy/listener/listener-set.ts";
import type { ConnectionHandler } from "#proxy/listener/listener.ts";
import type { OriginalDestination } from "#proxy/listener/original-destination.ts";
import { ListenerTls } from "#proxy/listener/server-tls.ts";
import { TcpSession } from "#proxy/listener/tcp-session.ts";
import { Breakers } from "#proxy/resilience/breakers.ts";
import type { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { CompiledRouteTable } from "#proxy/route/route-table.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import { ReplayBudget } from "#proxy/stream/request-body.ts";
import { LineFile } from "#proxy/telemetry/access-log.ts";
import { ExchangeRecorder } from "#proxy/telemetry/exchange-recorder.ts";
import { Metrics } from "#proxy/telemetry/metrics.ts";
import { ExplainRing, type SpanRecord } from "#proxy/telemetry/records.ts";
import { TraceWatch } from "#proxy/telemetry/trace-watch.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { ClusterTable, systemLookup } from "#proxy/upstream/cluster-set.ts";
import type { PickedEndpoint, PickFailure } from "#proxy/upstream/contract.ts";
import { WireConnector } from "#proxy/upstream/wire-connector.ts";
import type { Answers, ApplyFailure, ConfigDelta, Query } from "#proxy/worker/protocol.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import { WireLoop, type AcceptMode } from "#proxy/wire/wire-loop.ts";

import { clusterStatuses } from "./cluster-status.ts";
import { compileService, type ServiceParts } from "./compile-service.ts";
import { FilterRuntime } from "./filter-runtime.ts";
import { bindHttpConnection } from "./http-server.ts";

export interface DataPlaneOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly cells: SharedCells;
  readonly acceptMode: AcceptMode;
  readonly proxyName: string;
  readonly reusePort: boolean;
  readonly originalDestination: OriginalDestination | undefined;
  readonly onSpan: (span: SpanRecord) => void;
}

/** A service that may be replaced while its connections live. */
interface ServiceHolder {
  current: HttpService;
}

export class DataPlane implements ConnectionHandler {
  readonly metrics = new Metrics();
  readonly explain = new ExplainRing();
  readonly traceWatch = new TraceWatch();
  readonly #options: DataPlaneOptions;
  readonly #secrets = new MemorySecretStore();
  readonly #clusters: ClusterTable;
  readonly #breakers: Breakers;
  readonly #filters: FilterRuntime;
  readonly #listeners: ListenerSet;
  readonly #serviceParts: ServiceParts;
  readonly #routes = new Map<string, CompiledRouteTable>();
  readonly #clusterConfigs = new Map<string, Cluster>();
  readonly #assignments = new Map<string, ClusterLoadAssignment>();
  /** By listener and chain name (`#2` for a chain without one): what lives on through changes. */
  readonly #services = new Map<string, Map<string, ServiceHolder>>();
  readonly #serviceOf = new WeakMap<FilterChain, ServiceHolder>();
  readonly #codecs = new Map<Codec, string>();
  readonly #sessions = new Map<TcpSession, string>();
  readonly #files = new Map<string, LineFile>();
  #version = "";
  #onIdle: (() => void) | undefined;

  constructor(options: DataPlaneOptions) {
    const { clock, random, log, cells } = options;
    this.#options = options;
    const loop = new WireLoop({ clock, acceptMode: options.acceptMode });
    const connector = new WireConnector({ loop, secrets: this.#secrets });
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
    this.#breakers = new Breakers({ clock, cells, onChange: (cluster, state) => this.#onBreaker(cluster, state) });
    this.#filters = new FilterRuntime({
      clock,
      random,
      log,
      metrics: this.metrics,
      cells: (key, count) => cells.cells(key, count),
      breaker: (cluster, policy) => this.#breakers.get(cluster, policy),
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
      routeTable: (name) => this.#routes.get(name),
      clock,
      timers: new TimerWheel(clock),
      random,
      log,
      observer: recorder,
      replay: new ReplayBudget(),
      proxyName: options.proxyName,
      version: () => this.#version,
    };
    this.#listeners = new ListenerSet({
      loop,
      tls: new ListenerTls(loop, this.#secrets),
      handler: this,
      log,
      originalDestination: options.originalDestination,
      reusePort: options.reusePort,
    });
    this.#makeGauges();
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
    this.#version = delta.version;
    this.#applySecrets(delta);
    this.#applyClusters(delta);
    this.#applyRoutes(delta, failures);
    const listeners = this.#compileListeners(delta, failures);
    for (const name of delta.listeners.removed) this.#drainListener(name);
    for (const { name, message } of await this.#listeners.apply(listeners, delta.listeners.removed))
      failures.push({ type: "listener", name, message });
    return failures;
  }

  setHealth(cluster: string, endpoint: string, health: EndpointHealth): void {
    this.#clusters.setHealth(cluster, endpoint, health);
  }

  answer(query: Query): Answers[Query["kind"]] {
    switch (query.kind) {
      case "metrics":
        return this.metrics.snapshot();
      case "explain":
        return this.explain.find(query.requestId);
      case "latest":
        return this.explain.latest(query.count);
      case "clusters":
        return clusterStatuses(
          this.#clusters.snapshot(),
          new Map(this.#breakers.states()),
          this.#clusterConfigs,
          this.#assignments,
        );
      case "findings":
        return this.traceWatch.findings;
      default:
        return query satisfies never;
    }
  }

  /** Stops accepting, finishes what runs (GOAWAY, `Connection: close`); resolves when nothing runs or the time is up. */
  async drain(timeoutMs: number): Promise<void> {
    this.#listeners.close();
    for (const codec of this.#codecs.keys()) codec.drain();
    if (this.#codecs.size + this.#sessions.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        this.#options.clock.setTimer(timeoutMs, resolve);
      });
    }
    this.#clusters.close();
    this.#breakers.shutDown();
    for (const file of this.#files.values()) file.closeNow();
  }

  // ---- connections, from the listeners

  onHttp(wire: Wire, protocol: "http1" | "http2", firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    const holder = this.#serviceOf.get(chain);
    if (holder === undefined) {
      wire.destroy();
      return;
    }
    const codec = bindHttpConnection(
      wire,
      protocol,
      firstBytes,
      () => holder.current,
      this.#options.clock,
      () => {
        this.#codecs.delete(codec);
        this.#checkIdle();
      },
    );
    this.#codecs.set(codec, listener.name);
    this.#connectionCounter(listener, protocol).add(1);
  }

  onTcp(wire: Wire, firstBytes: Buffer, listener: Listener, chain: FilterChain): void {
    if (chain.network.kind !== "tcp") return;
    const config = chain.network.tcp;
    const cluster = this.#chooseTcpCluster(config.clusters);
    const session = new TcpSession(wire, {
      clock: this.#options.clock,
      config,
      pick: () => this.#pickTcp(cluster, wire),
      authority: cluster,
      onDone: (done) => this.#onTcpDone(done, listener, cluster),
    });
    this.#sessions.set(session, listener.name);
    this.#connectionCounter(listener, "tcp").add(1);
    session.start(firstBytes);
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
        this.#routes.set(name, new CompiledRouteTable(table, (override) => this.#filters.parseOverride(override)));
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

  #compileListener(listener: Listener): void {
    const chains =
      listener.defaultFilterChain === undefined
        ? listener.filterChains
        : [...listener.filterChains, listener.defaultFilterChain];
    const made: (readonly [name: string, chain: FilterChain, service: HttpService])[] = [];
    for (const [index, chain] of chains.entries()) {
      if (chain.network.kind !== "http") continue;
      made.push([
        chain.name === "" ? `#${index}` : chain.name,
        chain,
        compileService(listener, chain.network.http, this.#serviceParts),
      ]);
    }
    const holders = this.#services.get(listener.name) ?? new Map<string, ServiceHolder>();
    this.#services.set(listener.name, holders);
    for (const [name, chain, service] of made) {
      const holder = holders.get(name) ?? { current: service };
      holder.current = service;
      holders.set(name, holder);
      this.#serviceOf.set(chain, holder);
    }
  }

  #drainListener(name: string): void {
    this.#services.delete(name);
    for (const [codec, listener] of this.#codecs) if (listener === name) codec.drain();
    for (const [session, listener] of this.#sessions) if (listener === name) session.abort("the listener was removed");
  }

  // ---- opaque bytes

  #chooseTcpCluster(clusters: readonly { readonly name: string; readonly weight: number }[]): string {
    const sum = clusters.reduce((total, { weight }) => total + weight, 0);
    let point = this.#options.random.next() * sum;
    for (const { name, weight } of clusters) if ((point -= weight) < 0) return name;
    return clusters.at(-1)?.name ?? "";
  }

  #pickTcp(name: string, wire: Wire): PickedEndpoint | PickFailure | "no-cluster" {
    const cluster = this.#clusters.get(name);
    return cluster === undefined
      ? "no-cluster"
      : cluster.pick(
          { cluster: cluster.config, labels: {}, hash: undefined, avoid: [] },
          wire.info.originalDestination,
        );
  }

  #onTcpDone(session: TcpSession, listener: Listener, cluster: string): void {
    this.#sessions.delete(session);
    const labels = { listener: listener.name, destination: cluster };
    this.metrics
      .counter("heddle_tcp_received_bytes_total", "Bytes from clients of opaque connections.", labels)
      .add(session.bytesIn);
    this.metrics
      .counter("heddle_tcp_sent_bytes_total", "Bytes to clients of opaque connections.", labels)
      .add(session.bytesOut);
    if (session.failure !== undefined) {
      this.metrics.counter("heddle_tcp_failures_total", "Opaque connections that did not end well.", labels).add(1);
      this.#options.log.info("an opaque connection failed", { ...labels, reason: session.failure });
    }
    this.#checkIdle();
  }

  // ---- metrics

  #connectionCounter(listener: Listener, protocol: string) {
    return this.metrics.counter("heddle_connections_total", "Connections accepted, by listener and protocol.", {
      listener: listener.name,
      direction: listener.direction,
      protocol,
    });
  }

  #onBreaker(cluster: string, state: "closed" | "open" | "half-open"): void {
    this.metrics
      .counter("heddle_breaker_changes_total", "Changes of circuit breakers' states.", { cluster, to: state })
      .add(1);
    this.#options.log.info("a circuit breaker changed", { cluster, state });
  }

  #makeGauges(): void {
    const { metrics } = this;
    metrics.gauge("heddle_breaker_state", "0 closed, 1 half-open, 2 open.", () =>
      this.#breakers
        .states()
        .map(([cluster, state]) => [{ cluster }, state === "open" ? 2 : state === "half-open" ? 1 : 0] as const),
    );
    metrics.gauge("heddle_downstream_connections", "Open downstream connections.", () => [
      [{ kind: "http" }, this.#codecs.size],
      [{ kind: "tcp" }, this.#sessions.size],
    ]);
    metrics.gauge("heddle_upstream_connections", "Open upstream connections by cluster.", () =>
      this.#clusters.snapshot().map(({ name, connections }) => [{ cluster: name }, connections] as const),
    );
    metrics.gauge("heddle_ejected_endpoints", "Endpoints that outlier detection keeps out.", () =>
      this.#clusters
        .snapshot()
        .map(
          ({ name, endpoints }) => [{ cluster: name }, endpoints.filter(({ isEjected }) => isEjected).length] as const,
        ),
    );
  }

  #file(path: string): LineFile {
    let file = this.#files.get(path);
    if (file === undefined) this.#files.set(path, (file = new LineFile(path, this.#options.clock, this.#options.log)));
    return file;
  }

  #checkIdle(): void {
    if (this.#codecs.size + this.#sessions.size === 0) this.#onIdle?.();
  }
}
