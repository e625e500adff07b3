// A real control plane over a folder, and a real proxy with its worker that gets everything from one.
import path from "node:path";
import { loadBootstrap } from "#config/bootstrap/load-bootstrap.ts";
import { startControlPlane, type ControlPlane } from "#control-plane/app.ts";
import { parseSettings } from "#control-plane/settings.ts";
import { knownFilterTypes } from "#filters/standard.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { ProxyApp } from "#proxy/app/proxy-app.ts";

/** Reads `mesh` below `root` and keeps its state there; `xdsPort` 0 = any that is free. */
export async function startPlane(root: string, xdsPort = 0): Promise<ControlPlane> {
  const addresses = ["--xds-address", `127.0.0.1:${xdsPort}`];
  for (const name of ["--secure-address", "--metrics-address"]) addresses.push(name, "127.0.0.1:0");
  const folders = ["--config", path.join(root, "mesh"), "--state", path.join(root, "state")];
  return startControlPlane({
    settings: { ...parseSettings([...folders, ...addresses]), drainMs: 0 },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    version: "0.1.0",
  });
}

/** Resolves when the control plane's listeners are open; keeps its state below `root`. */
export async function startProxy(root: string, id: string, xdsPort: number): Promise<ProxyApp> {
  const bootstrap = loadBootstrap(
    `
node: { id: ${id}, cluster: test, metadata: { heddle: { state_dir: ${path.join(root, "proxy")}, drain_time_ms: 0 } } }
dynamic_resources:
  ads_config: { api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] }
  lds_config: { ads: {}, resource_api_version: V3 }
  cds_config: { ads: {}, resource_api_version: V3 }
static_resources:
  clusters:
    - name: xds
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: xds
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${xdsPort} } } } }] }]
`,
    "bootstrap.yaml",
    { knownFilters: knownFilterTypes },
  );
  const app = new ProxyApp({
    bootstrap,
    concurrency: 1,
    log: silentLog,
    threshold: { level: "error" },
    workerEntry: new URL("../../../proxy/worker/entry.ts", import.meta.url),
    allowUnsupported: new Set(),
  });
  await app.start();
  await app.whenReady();
  return app;
}
