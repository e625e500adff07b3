// The running shop: control plane, sidecars and applications as processes, and the means to look at them and disturb them.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Fault } from "../shop/kit/faults.ts";
import type { StatsReport } from "../shop/kit/stats.ts";
import { Load, type Outcome } from "../shop/load.ts";
import { Child } from "./child.ts";
import { takePortBlock, type PortBlock } from "./free-ports.ts";
import { Heddle, HEDDLE_SOURCES } from "./heddle.ts";
import { portsOf, readWorkloads, renderMesh, type Sidecar, type Workload } from "./layout.ts";
import { AccessLogReader } from "./observe/access-records.ts";
import { startOtlpReceiver, type OtlpReceiver } from "./observe/otlp-receiver.ts";
import { PlaneView } from "./observe/plane.ts";
import { parsePrometheus, type Sample } from "./observe/prometheus.ts";
import { until } from "./wait.ts";

const MESH = fileURLToPath(new URL("../shop/mesh", import.meta.url));
const APPS = fileURLToPath(new URL("../shop/apps", import.meta.url));

/** Ports of the control plane and the OTLP receiver, moved like those of the YAML. */
const PLANE_PORTS = { xds: 18_900, secure: 18_901, metrics: 18_902 } as const;
const OTLP_PORT = 18_990;

/** Services of the YAML whose part the demo itself plays, or nobody: no application is started for them. */
const WITHOUT_APPLICATION: ReadonlySet<string> = new Set(["shopper", "stranger", "suggestions", "vault"]);
/** The vault's sidecar is never started: claim 1 listens in its place. */
const WITHOUT_SIDECAR: ReadonlySet<string> = new Set(["vault"]);

/** Processes started at the same time; more only fight for the processors. */
const STARTING = 4;

export class Shop {
  readonly load = new Load();
  /** The YAML that governs this shop; edits are taken over at once. */
  readonly meshFolder: string;
  readonly stateFolder: string;
  readonly logFolder: string;
  readonly otlp: OtlpReceiver;
  readonly plane: PlaneView;
  readonly workloads: readonly Workload[];
  readonly #folder: string;
  readonly #block: PortBlock;
  readonly heddle: Heddle;
  readonly #applications = new Map<string, Child>();
  readonly #sidecars = new Map<string, Child>();
  readonly #accessLogs = new Map<string, AccessLogReader>();
  readonly #bootstraps = new Map<string, string>();
  #controlPlane: Child | undefined;

  private constructor(
    folder: string,
    block: PortBlock,
    workloads: readonly Workload[],
    otlp: OtlpReceiver,
    heddle: string,
  ) {
    this.#folder = folder;
    this.#block = block;
    this.meshFolder = join(folder, "mesh");
    this.stateFolder = join(folder, "state");
    this.logFolder = join(folder, "logs");
    this.workloads = workloads;
    this.otlp = otlp;
    const at = (port: number): string => `127.0.0.1:${block.move(port)}`;
    const addresses = { xds: at(PLANE_PORTS.xds), secure: at(PLANE_PORTS.secure), metrics: at(PLANE_PORTS.metrics) };
    this.heddle = new Heddle(heddle, this.meshFolder, this.stateFolder, addresses);
    this.plane = new PlaneView(addresses.metrics);
  }

  /** Starts everything, with the Heddle whose file is given, and waits until each proxy has its configuration. On failure everything is ended again. */
  static async start(heddle: string = HEDDLE_SOURCES): Promise<Shop> {
    const block = await takePortBlock([...(await portsOf(MESH)), ...Object.values(PLANE_PORTS), OTLP_PORT]);
    const folder = await mkdtemp(join(tmpdir(), "heddle-demo-"));
    await renderMesh(MESH, join(folder, "mesh"), (port) => block.move(port));
    const workloads = await readWorkloads(join(folder, "mesh"));
    const shop = new Shop(folder, block, workloads, await startOtlpReceiver(block.move(OTLP_PORT)), heddle);
    try {
      await mkdir(shop.logFolder, { recursive: true });
      await shop.startControlPlane();
      await Promise.all([
        eachOf(workloads, STARTING, (workload) => shop.startApplication(workload.name)),
        eachOf(workloads, STARTING, (workload) => shop.startSidecar(workload.name)),
      ]);
      await shop.untilGoverned();
    } catch (error) {
      await shop.stop();
      throw error;
    }
    return shop;
  }

  /** Ends every process that still runs. With `keep`, logs and state stay for a look; gives their folder. */
  async stop({ keep = false }: { readonly keep?: boolean } = {}): Promise<string> {
    await this.load.close();
    await Promise.all([...this.#applications.values(), ...this.#sidecars.values()].map((child) => child.stop()));
    await this.#controlPlane?.stop();
    await Promise.all([this.plane.close(), this.otlp.close()]);
    await this.#block.release();
    if (!keep) await rm(this.#folder, { recursive: true, force: true });
    return this.#folder;
  }

  workload(name: string): Workload {
    const found = this.workloads.find((workload) => workload.name === name);
    if (found === undefined) throw new Error(`no instance "${name}" in ${this.meshFolder}`);
    return found;
  }

  sidecarOf(name: string): Sidecar {
    const { sidecar } = this.workload(name);
    if (sidecar === undefined) throw new Error(`${name} has no sidecar`);
    return sidecar;
  }

  /** What an instance calls itself. */
  nameOf(name: string): string {
    return this.workload(name).name;
  }

  /** The localhost port through which the application beside `from`'s sidecar calls `service`. */
  outboundPort(from: string, service: string): number {
    const port = this.sidecarOf(from).outbound[service];
    if (port === undefined) throw new Error(`${from} has no port for ${service}`);
    return port;
  }

  /** The same as a URL. */
  url(from: string, service: string, path: string): string {
    return `http://127.0.0.1:${this.outboundPort(from, service)}${path}`;
  }

  /** The application's own port, past all sidecars: for faults and counts only. */
  direct(name: string, path: string): string {
    return `http://127.0.0.1:${this.workload(name).appPort}${path}`;
  }

  async setFault(name: string, fault: Fault): Promise<void> {
    const outcome = await this.load.call({ url: this.direct(name, "/_fault"), method: "POST", body: fault });
    if (outcome.status !== 200) throw new Error(`${name} did not take the fault: ${outcome.status} ${outcome.error}`);
  }

  async resetStats(...names: readonly string[]): Promise<void> {
    for (const name of names) await this.load.call({ url: this.direct(name, "/_stats/reset"), method: "POST" });
  }

  async stats(name: string): Promise<StatsReport> {
    const outcome = await this.load.call({ url: this.direct(name, "/_stats") });
    if (outcome.status !== 200) throw new Error(`${name} gave no counts: ${outcome.status} ${outcome.error}`);
    return outcome.body as StatsReport; // the shop's own application answered 200
  }

  /** The access records of a sidecar, oldest first. */
  accessLog(name: string): AccessLogReader {
    const log = this.#accessLogs.get(name) ?? new AccessLogReader();
    this.#accessLogs.set(name, log);
    return log;
  }

  async metrics(name: string): Promise<readonly Sample[]> {
    const outcome = await this.load.call({ url: `http://127.0.0.1:${this.sidecarOf(name).metricsPort}/metrics` });
    return typeof outcome.body === "string" ? parsePrometheus(outcome.body) : [];
  }

  admin(name: string, path: string): Promise<Outcome> {
    return this.load.call({ url: `http://127.0.0.1:${this.sidecarOf(name).adminPort}${path}` });
  }

  /** Names of the instances whose sidecars run. */
  get runningSidecars(): readonly string[] {
    return [...this.#sidecars].filter(([, child]) => child.isRunning).map(([name]) => name);
  }

  sidecarPid(name: string): number {
    return this.#sidecars.get(name)?.pid ?? 0;
  }

  async startControlPlane(): Promise<void> {
    this.#controlPlane = await Child.start({
      name: "control-plane",
      file: process.execPath,
      args: this.heddle.controlPlane(),
      env: {},
      logFile: join(this.logFolder, "control-plane.log"),
    });
    await until("the control plane to be ready", async () => (await this.plane.isReady()) || undefined);
  }

  async killControlPlane(): Promise<void> {
    await this.#controlPlane?.kill();
  }

  async startApplication(name: string): Promise<void> {
    const workload = this.workload(name);
    if (WITHOUT_APPLICATION.has(workload.service)) return;
    const env: Record<string, string> = {
      PORT: String(workload.appPort),
      INSTANCE: name,
      VERSION: workload.labels["version"] ?? "v1",
      TENANT: workload.labels["tenant"] ?? "",
    };
    for (const [service, port] of Object.entries(workload.sidecar?.outbound ?? {})) {
      env[`${service.toUpperCase()}_URL`] = service === "inventory" ? `127.0.0.1:${port}` : `http://127.0.0.1:${port}`;
    }
    const file = join(APPS, `${workload.service}.ts`);
    const child = await Child.start({
      name,
      file: process.execPath,
      args: [file],
      env,
      logFile: join(this.logFolder, `${name}.app.log`),
    });
    this.#applications.set(name, child);
  }

  /** Starts the sidecar of an instance; again with the identity that it has kept, when it ran before. */
  async startSidecar(name: string): Promise<void> {
    const workload = this.workload(name);
    if (workload.sidecar === undefined || WITHOUT_SIDECAR.has(workload.service)) return;
    let bootstrap = this.#bootstraps.get(name);
    if (bootstrap === undefined) {
      bootstrap = await this.heddle.writeBootstrap(workload);
      this.#bootstraps.set(name, bootstrap);
    }
    const log = this.accessLog(name);
    const child = await Child.start({
      name: `${name} sidecar`,
      file: process.execPath,
      args: this.heddle.proxy(bootstrap),
      env: {},
      logFile: join(this.logFolder, `${name}.proxy.log`),
      onLine: (line) => log.push(line),
    });
    this.#sidecars.set(name, child);
  }

  /** kill -9 of an instance's application. */
  async killApplication(name: string): Promise<void> {
    await this.#applications.get(name)?.kill();
  }

  /** kill -9 of a whole instance: application and sidecar, at the same time. */
  async killInstance(name: string): Promise<void> {
    await Promise.all([this.#applications.get(name)?.kill(), this.#sidecars.get(name)?.kill()]);
  }

  async startInstance(name: string): Promise<void> {
    await Promise.all([this.startApplication(name), this.startSidecar(name)]);
  }

  /** Starts again what of an instance does not run. */
  async startInstanceIfDead(name: string): Promise<void> {
    if (this.#applications.get(name)?.isRunning !== true) await this.startApplication(name);
    if (this.#sidecars.get(name)?.isRunning !== true) await this.startSidecar(name);
  }

  /** Waits until the version in force is applied on every sidecar that runs. Gives that version. */
  untilGoverned(): Promise<string> {
    return until("every proxy to apply the configuration", async () => {
      const { version } = await this.plane.config();
      const { applied, total } = await this.plane.receipts(version);
      return applied === total && total === this.runningSidecars.length ? version : undefined;
    });
  }
}

async function eachOf<T>(items: readonly T[], concurrency: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}
