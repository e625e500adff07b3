// The control plane as a stack, one line a layer: what registries tell becomes a mesh, a mesh becomes resources, and proxies get them.
import { durationMs } from "#config/schema/duration.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { WatchedValue } from "#lib/watched.ts";
import { startAdminServer, type AdminServer } from "./admin/server.ts";
import { makeMeshAdmit } from "./discovery/admit-mesh-peer.ts";
import { admitAnybody, DiscoveryServer } from "./discovery/discovery-server.ts";
import { addCertificateService } from "./identity/certificate-service.ts";
import { openFolderIdentity } from "./identity/mesh-identity.ts";
import { startPlainServer, startSecureServer, type RunningServer } from "./identity/secure-server.ts";
import type { Cluster } from "./kubernetes/cluster.ts";
import { MeshStore } from "./mesh/store.ts";
import { ServiceCatalog } from "./registry/catalog.ts";
import { ConfigSources } from "./registry/config-sources.ts";
import { FileRegistry } from "./registry/file/file-registry.ts";
import type { ControlPlaneSettings } from "./settings.ts";
import { meshConfigIn } from "./translate/scope.ts";
import { ProxySource } from "./translate/proxy-source.ts";

export interface AppOptions {
  readonly settings: ControlPlaneSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Of this program. */
  readonly version: string;
}

export interface ControlPlane {
  readonly xdsPort: number;
  readonly securePort: number;
  readonly metricsPort: number;
  readonly version: string;
  /** Tells proxies to come back elsewhere, ends their streams, and closes every port. */
  stop(): Promise<void>;
}

/** Resolves when the first mesh is there and every port is open; rejects when one cannot be. */
export async function startControlPlane(options: AppOptions): Promise<ControlPlane> {
  const { settings, clock, random, log, version } = options;
  const cluster = await openCluster(options);
  const files =
    settings.configFolder === undefined
      ? []
      : [new FileRegistry({ folder: settings.configFolder, clock, random, log })];
  const sources = [...files, ...(cluster === undefined ? [] : [cluster.config])];
  const config = new ConfigSources(sources);
  const catalog = new ServiceCatalog(clock, log);
  const store = new MeshStore(clock, {
    services: () => catalog.services,
    workloads: () => catalog.workloads,
    resources: () => config.report.resources,
    isComplete: () => config.isLoaded && catalog.isComplete,
    trustDomain: settings.trustDomain,
  });
  const roots = new WatchedValue<string | undefined>(undefined);
  const source = new ProxySource(store, roots);
  const opened: { close(): unknown }[] = [];
  try {
    // Endpoints go out at once; sources of documents have coalesced their own events, so what they tell is not kept waiting either.
    catalog.subscribe((change) => store.invalidate(change === "endpoints" ? "now" : "soon"));
    config.subscribe(() => store.invalidate("now"));
    const first = firstSnapshot(store, clock, settings);
    for (const registry of [...sources, ...(cluster === undefined ? [] : [cluster.registry])]) catalog.add(registry);
    if (cluster !== undefined) opened.push(cluster);
    opened.push(catalog, store);
    await first;
    const mesh = meshConfigIn(store.current);
    const signing = { trustDomain: mesh.trustDomain, leafLifeMs: durationMs(mesh.certificates.lifetime) };
    const inCluster = await cluster?.openIdentity(signing);
    const identity = inCluster ?? (await openFolderIdentity({ ...signing, stateDir: settings.stateDir, clock, log }));
    const { authority, verifiers } = identity;
    authority.bundle.subscribe((bundlePem) => roots.set(bundlePem));
    opened.push(identity);
    const discovery = new DiscoveryServer({ source, clock, log });
    opened.push(discovery);
    const secure = await startSecureServer({
      address: settings.secureAddress,
      authority,
      dnsNames: identity.serverNames,
      // Several replicas share one Service: without this, one that was restarted would stay without proxies.
      ...(cluster === undefined ? {} : { maxConnectionAgeMs: 30 * 60_000 }),
      clock,
      log,
      register: (server) => {
        discovery.register(server, makeMeshAdmit(authority.trustDomain, clock));
        addCertificateService(server, { authority, verifiers, clock, log });
      },
    });
    opened.push({ close: async () => secure.close(0) });
    const plain = await startPlainServer(settings.xdsAddress, (server) => discovery.register(server, admitAnybody));
    opened.push({ close: async () => plain.close(0) });
    const webhook = inCluster === undefined ? undefined : await cluster?.serveWebhook(inCluster, version);
    if (webhook !== undefined) opened.push(webhook);
    const parts = { catalog, config, store, source, discovery, admissions: webhook?.counts };
    const admin = await startAdminServer(settings.metricsAddress, parts);
    cluster?.lead({ store, errors: () => config.report.errors, proxies: () => discovery.proxies() });
    return {
      xdsPort: plain.port,
      securePort: secure.port,
      metricsPort: admin.port,
      version: store.current?.version ?? "",
      stop: async () =>
        stop(settings, discovery, [secure, plain], admin, [
          ...(webhook === undefined ? [] : [webhook]),
          { close: async () => identity.close().then(async () => cluster?.close()) },
          catalog,
          store,
        ]),
    };
  } catch (error) {
    await Promise.all(opened.toReversed().map(async (one) => one.close()));
    throw error;
  }
}

async function stop(
  settings: ControlPlaneSettings,
  discovery: DiscoveryServer,
  servers: readonly RunningServer[],
  admin: AdminServer,
  rest: readonly { close(): unknown }[],
): Promise<void> {
  discovery.drain();
  await Promise.all(servers.map(async (server) => server.close(settings.drainMs)));
  discovery.close();
  await admin.close();
  await Promise.all(rest.map(async (one) => one.close()));
}

/** Loaded only where it is asked for: the client of Kubernetes is larger than all the rest. */
async function openCluster({ settings, clock, random, log }: AppOptions): Promise<Cluster | undefined> {
  if (settings.kubernetes === undefined) return undefined;
  const { Cluster } = await import("./kubernetes/cluster.ts");
  return Cluster.open({ clock, random, log, settings: settings.kubernetes });
}

/** A folder on a slow disk has 30 s; it is there, the settings have looked. An API server is waited for as long as it takes. */
const firstSnapshotMs = 30_000;

async function firstSnapshot(
  store: MeshStore,
  clock: Clock,
  { configFolder, kubernetes }: ControlPlaneSettings,
): Promise<void> {
  // Timers of the clock do not keep a process alive, and no port is open yet.
  const alive = setInterval(() => undefined, firstSnapshotMs);
  try {
    await new Promise<void>((resolve, reject) => {
      const late = clock.setTimer(firstSnapshotMs, () => {
        if (kubernetes === undefined)
          reject(new Error(`Cannot read the configuration in ${configFolder} within ${firstSnapshotMs / 1000} s`));
      });
      const unsubscribe = store.subscribe(() => {
        late.cancel();
        unsubscribe();
        resolve();
      });
    });
  } finally {
    clearInterval(alive);
  }
}
