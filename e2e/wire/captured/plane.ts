// A control plane whose registry is told what to say: no folder knows of captured pods, and a cluster is not needed for them.
import { loadText } from "#config/load/load.ts";
import { validateAll } from "#config/schema/analyze.ts";
import type { Resource } from "#config/schema/kinds.ts";
import { makeMeshAdmit } from "#control-plane/discovery/admit-mesh-peer.ts";
import { DiscoveryServer } from "#control-plane/discovery/discovery-server.ts";
import { CertificateAuthority } from "#control-plane/identity/authority.ts";
import { addCertificateService } from "#control-plane/identity/certificate-service.ts";
import { JoinTokenStore } from "#control-plane/identity/join-tokens.ts";
import { makeJoinTokenVerifier } from "#control-plane/identity/proof.ts";
import { startSecureServer } from "#control-plane/identity/secure-server.ts";
import { MeshStore } from "#control-plane/mesh/store.ts";
import { ServiceCatalog } from "#control-plane/registry/catalog.ts";
import type { RegistryService, RegistryWorkload } from "#control-plane/registry/registry.ts";
import { ProxySource } from "#control-plane/translate/proxy-source.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { WatchedValue } from "#lib/watched.ts";

export interface Plane {
  /** The mesh's roots. */
  readonly rootsPem: string;
  readonly port: number;
  tokenFor(spiffeId: string): string;
  /** Puts these documents in force. */
  configure(yaml: string): void;
}

/** Serves on `host` until the process ends. */
export async function startPlane(
  host: string,
  stateDir: string,
  services: readonly RegistryService[],
  workloads: readonly RegistryWorkload[],
): Promise<Plane> {
  let resources: readonly Resource[] = [];
  const catalog = new ServiceCatalog(systemClock, silentLog);
  const store = new MeshStore(systemClock, {
    services: () => catalog.services,
    workloads: () => catalog.workloads,
    resources: () => resources,
    isComplete: () => catalog.isComplete,
  });
  catalog.add({
    name: "test",
    guardsVanishing: false,
    watch: (sink) => {
      sink.replace(services, workloads);
      return { close: async () => undefined };
    },
  });
  const roots = new WatchedValue<string | undefined>(undefined);
  const source = new ProxySource(store, roots);
  const authority = await CertificateAuthority.open({
    stateDir,
    trustDomain: "cluster.local",
    clock: systemClock,
    leafLifeMs: 3_600_000,
  });
  let rootsPem = "";
  authority.bundle.subscribe((bundlePem) => {
    rootsPem = bundlePem;
    roots.set(bundlePem);
  });
  const tokens = new JoinTokenStore(stateDir, systemClock);
  const discovery = new DiscoveryServer({ source, clock: systemClock, log: silentLog });
  const { port } = await startSecureServer({
    address: { address: host, port: 0 },
    authority,
    clock: systemClock,
    log: silentLog,
    register: (server) => {
      discovery.register(server, makeMeshAdmit(authority.trustDomain, systemClock));
      const verifiers = [makeJoinTokenVerifier(tokens)];
      addCertificateService(server, { authority, verifiers, clock: systemClock, log: silentLog });
    },
  });
  return {
    rootsPem,
    port,
    tokenFor: (spiffeId) => tokens.issueToken(spiffeId),
    configure(yaml) {
      const loaded = loadText(yaml, "test.yaml");
      const checked = validateAll(loaded.documents, loaded.errors);
      const [first] = checked.errors;
      if (first !== undefined) throw new Error(first.format());
      resources = checked.resources;
      store.invalidate("now");
    },
  };
}
