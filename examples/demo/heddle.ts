// The command lines of Heddle that the demo uses, and nothing else of Heddle: the demo looks from outside.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runToEnd } from "./child.ts";
import type { Workload } from "./layout.ts";

/** The sources as they are; a bundle can be shown instead (`--heddle FILE`). */
export const HEDDLE_SOURCES = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Where the control plane of one demo listens, each `host:port`. */
export interface PlaneAddresses {
  readonly xds: string;
  readonly secure: string;
  readonly metrics: string;
}

/** What a command printed and how it ended. */
export type Ended = Awaited<ReturnType<typeof runToEnd>>;

/** Heddle's commands on one folder of YAML and one folder of state. */
export class Heddle {
  readonly #file: string;
  readonly #meshFolder: string;
  readonly #stateFolder: string;
  readonly #addresses: PlaneAddresses;

  constructor(file: string, meshFolder: string, stateFolder: string, addresses: PlaneAddresses) {
    this.#file = file;
    this.#meshFolder = meshFolder;
    this.#stateFolder = stateFolder;
    this.#addresses = addresses;
  }

  /** Arguments for Node that run the control plane; the process id is the server's own. */
  controlPlane(): readonly string[] {
    const { xds, secure, metrics } = this.#addresses;
    const addresses = ["--xds-address", xds, "--secure-address", secure, "--metrics-address", metrics];
    return [this.#file, "control-plane", ...this.#folders(), ...addresses];
  }

  /** Arguments for Node that run a sidecar. */
  proxy(bootstrap: string): readonly string[] {
    return [this.#file, "proxy", "-c", bootstrap, "--concurrency", "1"];
  }

  /** Writes the bootstrap and a join token of one workload; gives the bootstrap's path. */
  async writeBootstrap(workload: Workload): Promise<string> {
    const id = `${workload.namespace}/${workload.name}`;
    const args = ["bootstrap", "--workload", id, ...this.#folders(), "--secure-address", this.#addresses.secure];
    const { code, stderr } = await this.#run(args);
    if (code !== 0) throw new Error(`heddle ${args.join(" ")} ended with ${code}: ${stderr.trim()}`);
    return join(this.#stateFolder, "workloads", id, "bootstrap.yaml");
  }

  /** `heddle explain`, which asks the sidecars at their admin ports. */
  explain(requestId: string): Promise<Ended> {
    return this.#run(["explain", requestId, ...this.#folders()]);
  }

  /** `heddle analyze` on the YAML. */
  analyze(): Promise<Ended> {
    return this.#run(["analyze", this.#meshFolder]);
  }

  #folders(): readonly string[] {
    return ["--config", this.#meshFolder, "--state", this.#stateFolder];
  }

  #run(args: readonly string[]): Promise<Ended> {
    return runToEnd(process.execPath, [this.#file, ...args]);
  }
}
