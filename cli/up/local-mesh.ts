// A whole mesh on this machine: a control plane and one proxy process for each sidecar of a folder of YAML.
import { createServer, type AddressInfo } from "node:net";
import { ensurePrivateFolder } from "#control-plane/identity/private-file.ts";
import { parseAddress } from "../arguments.ts";
import { writeSidecarBootstrap } from "../bootstrap.ts";
import type { MeshFolder, PlannedSidecar } from "../mesh-folder.ts";
import { writePlaneAddresses, type PlaneAddresses } from "../state-folder.ts";
import { SupervisedServer, type ServerHooks } from "./supervised.ts";

export interface LocalMeshOptions {
  readonly mesh: MeshFolder;
  /** Absolute. */
  readonly state: string;
  readonly addresses: PlaneAddresses;
  /** Node, and the program to run with it. */
  readonly nodeFile: string;
  readonly entry: string;
  readonly logLevel: string;
  readonly hooks: ServerHooks;
}

/** Proxies started at the same time; more only fight for the processors. */
const STARTING = 4;
/** Beyond its drain time, a server has this long to end before it is killed. */
const GRACE_MS = 5_000;
/** The control plane's own drain time. */
const PLANE_DRAIN_MS = 5_000;

export class LocalMesh {
  readonly #options: LocalMeshOptions;
  readonly #proxies: SupervisedServer[] = [];
  #controlPlane: SupervisedServer | undefined;

  constructor(options: LocalMeshOptions) {
    this.#options = options;
  }

  /** Resolves when every server is ready; rejects with the first that cannot be. Until `isOver`, which ends it early. */
  async start(isOver: () => boolean): Promise<void> {
    const { mesh, state, addresses, logLevel } = this.#options;
    ensurePrivateFolder(state);
    const { xds, secure, metrics } = addresses;
    const folders = ["--config", mesh.folder, "--state", state];
    const ports = ["--xds-address", xds, "--secure-address", secure, "--metrics-address", metrics];
    this.#controlPlane = this.#run("control-plane", ["control-plane", ...folders, ...ports, "--log-level", logLevel]);
    await this.#controlPlane.ready;
    writePlaneAddresses(state, addresses);
    const waiting = [...mesh.sidecars];
    const startNext = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && !isOver(); next = waiting.shift()) {
        await this.#startProxy(next);
      }
    };
    await Promise.all(Array.from({ length: STARTING }, startNext));
  }

  /** Proxies first, so that they drain under their control plane. */
  async stop(): Promise<void> {
    const graceMs = this.#options.mesh.drainTimeMs + GRACE_MS;
    await Promise.all(this.#proxies.map((proxy) => proxy.stop(graceMs)));
    await this.#controlPlane?.stop(PLANE_DRAIN_MS + GRACE_MS);
  }

  /** For who cannot wait for `stop`. */
  kill(): void {
    for (const server of [...this.#proxies, this.#controlPlane]) server?.kill();
  }

  async #startProxy(sidecar: PlannedSidecar): Promise<void> {
    const { mesh, state, addresses, logLevel } = this.#options;
    const ports = { admin: await freePort(), metrics: await freePort() };
    const controlPlane = parseAddress(addresses.secure, "--secure-address");
    const file = writeSidecarBootstrap(mesh, sidecar, { state, controlPlane, ports });
    const proxy = this.#run(sidecar.id, ["proxy", "-c", file, "--log-level", logLevel]);
    this.#proxies.push(proxy);
    await proxy.ready;
  }

  #run(name: string, args: readonly string[]): SupervisedServer {
    const { nodeFile, entry, hooks } = this.#options;
    return new SupervisedServer({ name, file: nodeFile, args: [entry, ...args] }, hooks);
  }
}

/** For a sidecar whose YAML names no port: one that is free now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens
  await new Promise((resolve) => server.close(resolve));
  return port;
}
