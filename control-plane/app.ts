// The control plane as a stack, one line a layer: what a registry tells becomes a mesh, a mesh becomes resources, and proxies get them.
import { durationMs } from "#config/schema/duration.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { WatchedValue } from "#lib/watched.ts";
import { startAdminServer, type AdminServer } from "./admin/server.ts";
import { makeMeshAdmit } from "./discovery/admit-mesh-peer.ts";
import { admitAnybody, DiscoveryServer } from "./discovery/discovery-server.ts";
import { CertificateAuthority } from "./identity/authority.ts";
import { addCertificateService } from "./identity/certificate-service.ts";
import { JoinTokenStore } from "./identity/join-tokens.ts";
import { makeJoinTokenVerifier } from "./identity/proof.ts";
import { startPlainServer, startSecureServer, type RunningServer } from "./identity/secure-server.ts";
import { MeshStore } from "./mesh/store.ts";
import { ServiceCatalog } from "./registry/catalog.ts";
import { FileRegistry } from "./registry/file/file-registry.ts";
import type { ControlPlaneSettings } from "./settings.ts";
import { meshConfigIn } from "./translate/scope.ts";
import { ProxySource } from "./translate/proxy-source.ts";

export interface AppOptions {
  readonly settings: ControlPlaneSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
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
export async function startControlPlane({ settings, clock, random, log }: AppOptions): Promise<ControlPlane> {
  const files = new FileRegistry({ folder: settings.configFolder, clock, random, log });
  const catalog = new ServiceCatalog(clock, log);
  const store = new MeshStore(clock, {
    services: () => catalog.services,
    workloads: () => catalog.workloads,
    resources: () => files.report.resources,
    isComplete: () => files.isLoaded && catalog.isComplete,
  });
  const roots = new WatchedValue<string | undefined>(undefined);
  const source = new ProxySource(store, roots);
  const opened: { close(): unknown }[] = [];
  try {
    // Endpoints go out at once; the folder has coalesced its own events, so what it tells is not kept waiting either.
    catalog.subscribe((change) => store.invalidate(change === "endpoints" ? "now" : "soon"));
    files.subscribe(() => store.invalidate("now"));
    const first = firstSnapshot(store, clock, settings.configFolder);
    catalog.add(files);
    opened.push(catalog, store);
    await first;
    const mesh = meshConfigIn(store.current);
    const authority = await CertificateAuthority.open({
      stateDir: settings.stateDir,
      trustDomain: mesh.trustDomain,
      clock,
      leafLifeMs: durationMs(mesh.certificates.lifetime),
    });
    authority.bundle.subscribe((bundlePem) => roots.set(bundlePem));
    authority.watchRotation(log);
    opened.push(authority);
    const discovery = new DiscoveryServer({ source, clock, log });
    opened.push(discovery);
    const secure = await startSecureServer({
      address: settings.secureAddress,
      authority,
      clock,
      log,
      register: (server) => {
        discovery.register(server, makeMeshAdmit(authority.trustDomain, clock));
        const verifiers = [makeJoinTokenVerifier(new JoinTokenStore(settings.stateDir, clock))];
        addCertificateService(server, { authority, verifiers, clock, log });
      },
    });
    opened.push({ close: async () => secure.close(0) });
    const plain = await startPlainServer(settings.xdsAddress, (server) => discovery.register(server, admitAnybody));
    opened.push({ close: async () => plain.close(0) });
    const admin = await startAdminServer(settings.metricsAddress, { catalog, files, store, source, discovery });
    return {
      xdsPort: plain.port,
      securePort: secure.port,
      metricsPort: admin.port,
      version: store.current?.version ?? "",
      stop: async () => stop(settings, discovery, [secure, plain], admin, [authority, catalog, store]),
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

/** A folder on a slow disk has 30 s; it is there, the settings have looked. */
const firstSnapshotMs = 30_000;

async function firstSnapshot(store: MeshStore, clock: Clock, folder: string): Promise<void> {
  // Timers of the clock do not keep a process alive, and no port is open yet.
  const alive = setInterval(() => undefined, firstSnapshotMs);
  try {
    await new Promise<void>((resolve, reject) => {
      const late = clock.setTimer(firstSnapshotMs, () =>
        reject(new Error(`Cannot read the configuration in ${folder} within ${firstSnapshotMs / 1000} s`)),
      );
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
