// A whole proxy on its main thread: identity, discovery, the workers that carry the data, and the ports for operators.
//
//   bootstrap -> static configuration --+
//   identity  -> certificate, bundle ---+--> one snapshot --diff--> workers -> receipt (ACK or NACK)
//   discovery -> what the mesh says ----+
import fs from "node:fs";

import type { ApplicationSettings } from "#config/kubernetes/application.ts";
import type { Bootstrap } from "#config/model/bootstrap.ts";
import type { Listener } from "#config/model/listener.ts";
import type { TracingConfig } from "#config/model/telemetry.ts";
import type { Secret } from "#config/model/tls.ts";
import { knownFilterTypes } from "#filters/standard.ts";
import { systemClock, type Clock, type Timer } from "#lib/clock.ts";
import type { Log, LogThreshold } from "#lib/log.ts";
import { randomSecret } from "#lib/random-secret.ts";
import { systemRandom } from "#lib/random.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import { makeAdminRoutes, makeMetricsRoutes, type AdminParts } from "#proxy/admin/admin-routes.ts";
import { makeProbeRoutes } from "#proxy/application/probe-routes.ts";
import { HttpEndpoint } from "#proxy/admin/http-endpoint.ts";
import type { ApplyError, DiscoveredConfig } from "#proxy/discovery/config.ts";
import type { DiscoveryClient } from "#proxy/discovery/discovery-client.ts";
import type { IdentityMaterial } from "#proxy/identity/material.ts";
import { makeGrpcSigner } from "#proxy/identity/signing-client.ts";
import { WorkloadIdentity } from "#proxy/identity/workload-identity.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { trafficCell } from "#proxy/upstream/cluster.ts";
import { HealthRunner } from "#proxy/upstream/health/health-runner.ts";
import { makeStandardProbe } from "#proxy/upstream/health/standard-probes.ts";
import { UpstreamTlsContexts } from "#proxy/upstream/tls-contexts.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { Metrics } from "#proxy/telemetry/metrics.ts";
import { OtlpSpanExporter } from "#proxy/telemetry/span-exporter.ts";
import type { SpanRecord } from "#proxy/telemetry/records.ts";
import type { ApplyFailure } from "#proxy/worker/protocol.ts";
import { prepareAddressCheck } from "#proxy/wire/address-check.ts";
import { WorkerPool } from "#proxy/worker/worker-pool.ts";

import { checkAdminAddress } from "./admin-address.ts";
import { defaultLockFolder, ListenerLocks } from "./listener-locks.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { heapLimitMb, MemoryWatch, readMemoryLimit } from "./memory-watch.ts";
import { MemoryTrim } from "./memory-trim.ts";
import { releaseMemory } from "./release-memory.ts";
import { diffSnapshots, EMPTY_SNAPSHOT, mergeSnapshots, staticSnapshot, type DataPlaneSnapshot } from "./snapshot.ts";

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly concurrency: number;
  readonly log: Log;
  readonly threshold: LogThreshold;
  /** The worker's entry. */
  readonly workerEntry: URL;
  readonly allowUnsupported: ReadonlySet<string>;
  /** Where the locks on listener addresses lie; default: one folder of this user. */
  readonly lockFolder?: string;
  /** In a pod: the application whose probes and metrics the metrics port answers too. */
  readonly application?: ApplicationSettings | undefined;
}

/** Workers are asked this often which hosts on demand they used. */
const HOSTS_MS = 60_000;

export class ProxyApp {
  readonly #options: ProxyOptions;
  readonly #clock: Clock = systemClock;
  readonly #metrics = new Metrics();
  readonly #workers: WorkerPool;
  /** Only where several threads listen on one address. */
  readonly #locks: ListenerLocks | undefined;
  readonly #identity: WorkloadIdentity | undefined;
  #discovery: DiscoveryClient | undefined;
  readonly #secrets = new MemorySecretStore();
  readonly #cells = new SharedCells();
  readonly #health: HealthRunner;
  readonly #memory: MemoryWatch;
  readonly #trim: MemoryTrim;
  readonly #endpoints: HttpEndpoint[] = [];
  readonly #static: DataPlaneSnapshot;
  #discovered: DataPlaneSnapshot = EMPTY_SNAPSHOT;
  #own = new Map<string, Secret>();
  #current: DataPlaneSnapshot = EMPTY_SNAPSHOT;
  #applying: Promise<unknown> = Promise.resolve();
  #exporter: OtlpSpanExporter | undefined;
  #unready: string | undefined;
  #isTerminating = false;
  #isDraining = false;
  /** The admin port that was opened, where the bootstrap said 0; 0 = none. */
  adminPort = 0;
  #hostsTimer: Timer | undefined;

  constructor(options: ProxyOptions) {
    const { bootstrap, log } = options;
    this.#options = options;
    this.#static = staticSnapshot(bootstrap);
    const memoryLimit = readMemoryLimit((file) => fs.readFileSync(file, "utf8"));
    this.#workers = new WorkerPool({
      concurrency: options.concurrency,
      log,
      logLevel: options.threshold.level,
      localCluster: bootstrap.node.cluster,
      proxyName: bootstrap.node.id === "" ? "heddle" : `heddle:${bootstrap.node.id}`,
      drainTimeMs: bootstrap.heddle.drainTimeMs,
      entry: options.workerEntry,
      cells: this.#cells.buffer,
      onSpans: (spans) => this.#export(spans),
      onLookup: (table, host) => this.#lookUpHost(table, host),
      fullConfig: () => diffSnapshots(EMPTY_SNAPSHOT, this.#current),
      clock: this.#clock,
      ticketSecret: randomSecret(32),
      heapLimitMb: heapLimitMb(memoryLimit, options.concurrency + 1),
    });
    this.#locks = options.concurrency > 1 ? new ListenerLocks(options.lockFolder ?? defaultLockFolder()) : undefined;
    const settings = bootstrap.heddle.identity;
    this.#identity =
      settings === undefined
        ? undefined
        : new WorkloadIdentity({
            settings,
            stateDir: bootstrap.heddle.stateDir,
            sign: makeGrpcSigner(settings.address),
            clock: this.#clock,
            random: systemRandom,
            log,
          });
    const checks = (result: string) =>
      this.#metrics.counter("heddle_health_checks_total", "Active health checks by their result.", { result });
    const success = checks("success");
    const results = { healthy: success, degraded: success, failed: checks("failure"), refused: checks("refusal") };
    const contexts = new UpstreamTlsContexts(this.#secrets, this.#clock);
    this.#health = new HealthRunner({
      clock: this.#clock,
      random: systemRandom,
      log,
      makeProbe: makeStandardProbe,
      makeTls: (target) => contexts.forTarget(target),
      onResult: (result) => results[result].add(1),
      hasTraffic: (cluster) => Atomics.load(this.#cells.cells(trafficCell(cluster), 1), 0) !== 0,
      onHealth: (cluster, address, health) => this.#workers.setHealth(cluster, address, health),
      onForgotten: (cluster, address) => this.#workers.forgetHealth(cluster, address),
    });
    this.#memory = new MemoryWatch({
      clock: this.#clock,
      limitBytes: memoryLimit,
      usedBytes: () => process.memoryUsage.rss(),
      collect: () => {
        collectGarbage();
        this.#workers.collect("all");
      },
      onLevel: (level, share) => {
        log.warn("the use of memory changed", { level, percent: Math.round(share * 100) });
        this.#workers.setOverload(level);
      },
    });
    this.#trim = new MemoryTrim({
      clock: this.#clock,
      collect: () => {
        collectGarbage();
        this.#workers.collect("idle");
      },
      release: releaseMemory,
    });
    this.#makeGauges();
  }

  /** Resolves when static listeners serve and the operators' ports are open; rejects when one of these cannot be had. */
  async start(): Promise<void> {
    const { bootstrap } = this.#options;
    checkAdminAddress(bootstrap);
    // A token of Kubernetes is good again at the next try, so that it need not wait for what could still fail here; one to join with
    // is good for one key, which must not get lost.
    if (bootstrap.heddle.identity?.renewWith === "token") this.#identity?.start();
    // An application waits for all of this: the threads load what they need while we load gRPC.
    const [discovery] = await Promise.all([this.#makeDiscovery(), this.#workers.start()]);
    this.#discovery = discovery;
    this.#memory.start();
    this.#identity?.material.subscribe((material) => this.#onIdentity(material));
    const failures = await this.#apply();
    const listener = failures.find(({ type }) => type === "listener");
    if (listener !== undefined) throw new Error(listener.message);
    // Applications wait for listeners, operators can wait a little longer.
    await this.#openEndpoints();
    if (bootstrap.heddle.identity?.renewWith !== "token") this.#identity?.start();
    this.#discovery?.start();
    this.#askForHosts();
    if (bootstrap.ads !== undefined) this.#unready = "waiting for the first configuration from the control plane";
  }

  /** Resolves when there is nothing to wait for: the first configuration is applied. */
  whenReady(): Promise<void> {
    const { config } = this.#discovery ?? {};
    if (config === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      let stop: (() => void) | undefined;
      let isDone = false;
      const done = (): void => {
        isDone = true;
        stop?.();
        resolve();
      };
      stop = config.subscribe((value) => {
        if (value !== undefined && !isDone) setImmediate(done);
      });
    });
  }

  /** Name and open port of each listener. */
  get ports(): ReadonlyMap<string, number> {
    return this.#workers.ports;
  }

  /** Ends one data thread as a crash would, to see what the others and its replacement do. */
  killWorker(index: number): Promise<void> {
    return this.#workers.kill(index);
  }

  /** Is unready, but serves all as before for `noticeMs`, while its callers learn that it ends; then drains. */
  async terminate(noticeMs: number): Promise<void> {
    this.#isTerminating = true;
    if (noticeMs > 0) await new Promise<void>((resolve) => void setTimeout(resolve, noticeMs));
    await this.drain();
  }

  /** Finishes what runs within the drain time, then ends everything. */
  async drain(): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#hostsTimer?.cancel();
    this.#discovery?.close();
    this.#identity?.close();
    this.#health.close();
    this.#memory.stop();
    this.#trim.close();
    await this.#workers.drain(this.#options.bootstrap.heddle.drainTimeMs);
    await this.#exporter?.shutDown();
    for (const endpoint of this.#endpoints) endpoint.close();
    this.#locks?.keep([]);
  }

  async #makeDiscovery(): Promise<DiscoveryClient | undefined> {
    const { bootstrap, log, allowUnsupported } = this.#options;
    const { ads, node, heddle } = bootstrap;
    if (ads === undefined) return undefined;
    const cluster = this.#static.clusters.get(ads.cluster);
    if (cluster === undefined)
      throw new Error(
        `Cannot reach the control plane: dynamic_resources.ads_config names the cluster "${ads.cluster}", which static_resources.clusters does not have`,
      );
    // gRPC comes with it, which a proxy without a control plane does without.
    const { makeGrpcAdsTransport } = await import("#proxy/discovery/ads-transport.ts");
    const { DiscoveryClient } = await import("#proxy/discovery/discovery-client.ts");
    const { validateResource } = await import("./validate.ts");
    const identity: Watched<IdentityMaterial | undefined> =
      this.#identity?.material ?? new WatchedValue<IdentityMaterial | undefined>(undefined);
    const certificateName = heddle.identity?.certificateName ?? "default";
    const bundleName = heddle.identity?.bundleName ?? "ROOTCA";
    return new DiscoveryClient({
      transport: makeGrpcAdsTransport({ cluster, identity, certificateName, bundleName }),
      node: {
        id: node.id,
        cluster: node.cluster,
        metadata: JSON.parse(JSON.stringify(node.metadata)),
        locality: { region: node.region, zone: node.zone, subZone: node.subZone },
        userAgentName: "heddle",
        userAgentVersionType: { case: "userAgentVersion", value: "0.1.0" },
      },
      listeners: ads.listeners,
      clusters: ads.clusters,
      decode: { knownFilters: knownFilterTypes, allowUnsupported },
      validate: validateResource,
      ownSecrets: new Set([certificateName, bundleName]),
      watchedSecrets: new Set(heddle.identity === undefined ? [] : [bundleName]),
      apply: (config) => this.#onDiscovered(config),
      stateDir: heddle.stateDir,
      clock: this.#clock,
      random: systemRandom,
      log,
    });
  }

  async #onDiscovered(config: DiscoveredConfig): Promise<readonly ApplyError[]> {
    if (config.origin === "ads") this.#takeRoots(config);
    this.#discovered = config;
    const failures = await this.#apply();
    if (this.#unready?.startsWith("waiting") === true) this.#unready = undefined;
    const errors: ApplyError[] = [];
    for (const { type, name, message } of failures)
      if (type !== "secret") errors.push({ kind: type, name, reason: message });
    return errors;
  }

  /** The mesh's roots may change between two signings of our certificate. */
  #takeRoots({ secrets }: DiscoveredConfig): void {
    const name = this.#options.bootstrap.heddle.identity?.bundleName ?? "";
    const secret = secrets.get(name);
    if (secret?.kind === "validation" && secret !== this.#discovered.secrets.get(name))
      this.#identity?.takeBundle(secret.bundlePem);
  }

  async #lookUpHost(table: string, host: string): Promise<string | undefined> {
    if (this.#discovery === undefined) return "there is no control plane to ask";
    const answer = await this.#discovery.lookUpHost(table, host);
    return answer.kind === "failed" ? answer.reason : undefined;
  }

  /** Tells discovery which hosts are in use, so that it keeps them. */
  #askForHosts(): void {
    const discovery = this.#discovery;
    if (discovery === undefined) return;
    this.#hostsTimer = this.#clock.setTimer(HOSTS_MS, () => {
      void this.#workers.query({ kind: "hosts" }).then((lists) => discovery.useHosts(new Set(lists.flat())));
      this.#askForHosts();
    });
  }

  #onIdentity(material: IdentityMaterial | undefined): void {
    const settings = this.#options.bootstrap.heddle.identity;
    if (settings === undefined) return;
    this.#own = new Map();
    if (material !== undefined) {
      this.#own.set(settings.certificateName, {
        kind: "certificate",
        name: settings.certificateName,
        certificate: material.certificate,
      });
      this.#own.set(settings.bundleName, {
        kind: "validation",
        name: settings.bundleName,
        bundlePem: material.bundlePem,
      });
    }
    void this.#apply();
  }

  /** Gives the workers what differs; one change after the other. */
  #apply(): Promise<readonly ApplyFailure[]> {
    const next = this.#applying.then(async () => {
      const merged = mergeSnapshots(this.#static, this.#discovered);
      const wanted = {
        ...merged,
        listeners: new Map(merged.listeners),
        secrets: new Map([...merged.secrets, ...this.#own]),
      };
      const locked = this.#locks?.take(wanted.listeners.values()) ?? [];
      for (const { name } of locked) keepListener(wanted.listeners, name, this.#current.listeners.get(name));
      const delta = diffSnapshots(this.#current, wanted);
      this.#current = wanted;
      for (const [, secret] of delta.secrets.changed) this.#secrets.set(secret);
      for (const name of delta.secrets.removed) this.#secrets.delete(name);
      const failures = [...locked, ...(await this.#workers.apply(delta))];
      this.#locks?.keep(wanted.listeners.values());
      this.#health.apply([...wanted.clusters.values()], wanted.assignments);
      for (const failure of failures) this.#options.log.error("a resource could not be applied", { ...failure });
      this.#trim.noteChange();
      return failures;
    });
    this.#applying = next.catch(() => undefined);
    return next;
  }

  async #openEndpoints(): Promise<void> {
    const { bootstrap, threshold, application } = this.#options;
    prepareAddressCheck();
    const parts: AdminParts = {
      workers: this.#workers,
      metrics: this.#metrics,
      threshold,
      node: bootstrap.node.id,
      config: () => this.#current,
      notReady: () =>
        this.#isTerminating || this.#isDraining ? "draining" : (this.#unready ?? this.#workers.notReady),
      certificate: () => this.#identity?.status,
      discovery: () => this.#discovery?.status,
      application,
    };
    if (bootstrap.admin !== undefined)
      this.adminPort = await this.#openEndpoint(new HttpEndpoint(makeAdminRoutes(parts)), bootstrap.admin);
    if (bootstrap.heddle.metrics !== undefined)
      await this.#openEndpoint(
        new HttpEndpoint(makeMetricsRoutes(parts), application === undefined ? {} : makeProbeRoutes(application)),
        bootstrap.heddle.metrics,
      );
  }

  async #openEndpoint(
    endpoint: HttpEndpoint,
    address: { readonly address: string; readonly port: number },
  ): Promise<number> {
    const port = await endpoint.listen(address);
    this.#endpoints.push(endpoint);
    return port;
  }

  #export(spans: readonly SpanRecord[]): void {
    const exporter = this.#exporter ?? this.#makeExporter();
    exporter?.export(spans);
  }

  /** The first exporter that a listener names. */
  #makeExporter(): OtlpSpanExporter | undefined {
    const { bootstrap, log } = this.#options;
    const found = [...this.#current.listeners.values()]
      .flatMap(({ filterChains }) => filterChains)
      .map(({ network }) => (network.kind === "http" ? exporterOf(network.http.tracing) : undefined))
      .find((config) => config !== undefined);
    if (found === undefined) return undefined;
    return (this.#exporter = new OtlpSpanExporter({
      endpoint: found.endpoint,
      protocol: found.protocol,
      serviceName: found.serviceName === "" ? bootstrap.node.cluster : found.serviceName,
      nodeId: bootstrap.node.id,
      log,
    }));
  }

  #makeGauges(): void {
    this.#metrics.gauge("heddle_certificate_expiry_seconds", "Seconds until our certificate ends.", () => {
      const status = this.#identity?.status;
      return status?.secondsToExpiry === undefined ? [] : [[{ identity: status.spiffeId }, status.secondsToExpiry]];
    });
    this.#metrics.gauge("heddle_config_info", "1 for the version of the configuration in force.", () => [
      [{ version: this.#current.version }, 1],
    ]);
    this.#metrics.gauge("heddle_control_plane_connected", "1 while the stream to the control plane is open.", () =>
      this.#discovery === undefined ? [] : [[{}, this.#discovery.status.connected ? 1 : 0]],
    );
    this.#metrics.gauge("heddle_worker_deaths", "Data threads that died and were replaced.", () => [
      [{}, this.#workers.deaths],
    ]);
  }
}

/** A listener that cannot be had stays what it was. */
function keepListener(listeners: Map<string, Listener>, name: string, before: Listener | undefined): void {
  if (before === undefined) listeners.delete(name);
  else listeners.set(name, before);
}

function exporterOf(tracing: TracingConfig | undefined): TracingConfig["exporter"] {
  return tracing?.exporter;
}
