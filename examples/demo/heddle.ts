// The command lines of Heddle that the demo uses, and nothing else of Heddle: the demo looks from outside.
import { fileURLToPath } from "node:url";
import { runToEnd } from "./child.ts";
import type { Workload } from "./layout.ts";

/** Node and the file that it runs; its process id is the server's own. */
export const NODE = process.execPath;
export const HEDDLE = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Where the control plane of one demo lives. */
export interface PlaneAddresses {
  readonly xds: string;
  readonly secure: string;
  readonly metrics: string;
}

export function controlPlaneArguments(
  meshFolder: string,
  stateFolder: string,
  addresses: PlaneAddresses,
): readonly string[] {
  return [
    HEDDLE,
    "control-plane",
    "--config",
    meshFolder,
    "--state",
    stateFolder,
    "--xds-address",
    addresses.xds,
    "--secure-address",
    addresses.secure,
    "--metrics-address",
    addresses.metrics,
  ];
}

/** Writes the bootstrap and a join token of one workload; gives the bootstrap's path. */
export async function writeBootstrap(
  workload: Workload,
  meshFolder: string,
  stateFolder: string,
  secure: string,
): Promise<string> {
  const id = `${workload.namespace}/${workload.name}`;
  const args = [
    "bootstrap",
    "--workload",
    id,
    "--config",
    meshFolder,
    "--state",
    stateFolder,
    "--secure-address",
    secure,
  ];
  const { code, stderr } = await runToEnd(NODE, [HEDDLE, ...args]);
  if (code !== 0) throw new Error(`heddle ${args.join(" ")} ended with ${code}: ${stderr.trim()}`);
  return `${stateFolder}/workloads/${id}/bootstrap.yaml`;
}

export function proxyArguments(bootstrap: string): readonly string[] {
  return [HEDDLE, "proxy", "-c", bootstrap, "--concurrency", "1"];
}

/** `heddle explain`, asked at the admin ports of the proxies. */
export function explain(requestId: string, stateFolder: string, meshFolder: string): ReturnType<typeof runToEnd> {
  return runToEnd(NODE, [HEDDLE, "explain", requestId, "--state", stateFolder, "--config", meshFolder]);
}

export function analyze(meshFolder: string): ReturnType<typeof runToEnd> {
  return runToEnd(NODE, [HEDDLE, "analyze", meshFolder]);
}
