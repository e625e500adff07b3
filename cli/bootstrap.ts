// `heddle bootstrap`: writes what one sidecar starts from, its bootstrap and a join token.
import { existsSync } from "node:fs";
import path from "node:path";
import type { SocketAddress } from "#config/model/address.ts";
import { durationMs, tryDurationMs } from "#config/schema/duration.ts";
import { writeBootstrap } from "#control-plane/identity/bootstrap-writer.ts";
import { JoinTokenStore } from "#control-plane/identity/join-tokens.ts";
import { systemClock } from "#lib/clock.ts";
import { need, parseAddress, parseWhole, parseWorkloadId, UsageError } from "./arguments.ts";
import { exitCodes, makeCommand } from "./command.ts";
import { UnreachableError } from "./http-json.ts";
import { findSidecar, readMeshFolder, type MeshFolder, type PlannedSidecar } from "./mesh-folder.ts";
import { DEFAULT_STATE_FOLDER, workloadFolder } from "./state-folder.ts";

/** Ports of a sidecar whose YAML names none, as operators of sidecars know them. */
const ADMIN_PORT = 15_000;
const METRICS_PORT = 15_020;

export const bootstrapCommand = makeCommand({
  name: "bootstrap",
  summary: "writes the bootstrap and the join token of one sidecar",
  usage: "--workload NAMESPACE/NAME --config FOLDER [--state DIR]",
  details: `Writes DIR/workloads/NAMESPACE/NAME/bootstrap.yaml and, beside it, a join token that is good once, for that workload's
identity alone. Prints the path of the bootstrap. The control plane must have been started once with the same DIR: it makes the
mesh's root there.`,
  options: {
    workload: { type: "string", value: "NAMESPACE/NAME", help: "an endpoint with a sidecar block in the folder" },
    config: { type: "string", value: "FOLDER", help: "folder of YAML that names the workload" },
    state: { type: "string", value: "DIR", default: DEFAULT_STATE_FOLDER, help: "folder of state" },
    "secure-address": {
      type: "string",
      value: "ADDR",
      default: "127.0.0.1:15012",
      help: "where the control plane serves xDS and certificates over TLS",
    },
    life: { type: "string", value: "TIME", default: "1h", help: "how long the join token is good" },
    concurrency: { type: "string", value: "N", help: "data threads of the sidecar (default: 1)" },
  },
  examples: [
    [
      "heddle bootstrap --workload shop/orders-1 --config mesh",
      "writes .heddle/workloads/shop/orders-1/bootstrap.yaml",
    ],
    ["heddle proxy -c $(heddle bootstrap --workload shop/orders-1 --config mesh)", "and starts the sidecar from it"],
  ],
  exits: { 1: "the folder has errors, or no such workload", 3: "the folder or the mesh's root is not there" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const { namespace, name } = parseWorkloadId(values.workload);
    const controlPlane = parseAddress(values["secure-address"], "--secure-address");
    const tokenLifeMs = parseLife(values.life);
    const concurrency =
      values.concurrency === undefined ? undefined : parseWhole(values.concurrency, "--concurrency", 1, 256);
    const mesh = await readMeshFolder(path.resolve(context.folder, need(values.config, "--config")));
    const sidecar = findSidecar(mesh, `${namespace}/${name}`);
    const state = path.resolve(context.folder, values.state);
    const file = writeSidecarBootstrap(mesh, sidecar, { state, controlPlane, tokenLifeMs, concurrency });
    context.write(`${file}\n`);
    return exitCodes.done;
  },
});

/** A token's life as Kubernetes writes durations. @throws {UsageError} */
export function parseLife(text: string): number {
  if (tryDurationMs(text) === undefined)
    throw new UsageError(`--life must be a duration, as 30m or 24h: got "${text}"`);
  return durationMs(text);
}

export interface BootstrapSettings {
  readonly state: string;
  readonly controlPlane: SocketAddress;
  readonly tokenLifeMs?: number | undefined;
  readonly concurrency?: number | undefined;
  /** Where its YAML names no port. */
  readonly ports?: { readonly admin: number; readonly metrics: number };
}

/** Gives the path of the bootstrap. @throws {UnreachableError} while there is no root to pin. */
export function writeSidecarBootstrap(mesh: MeshFolder, sidecar: PlannedSidecar, settings: BootstrapSettings): string {
  const { state, controlPlane, tokenLifeMs, concurrency, ports } = settings;
  const rootsFile = path.join(state, "roots.pem");
  if (!existsSync(rootsFile)) {
    throw new UnreachableError(
      `There is no ${rootsFile}: start heddle control-plane --state ${state} first, it makes the mesh's root there`,
    );
  }
  const { namespace, name, service, serviceAccount, spiffeId, locality } = sidecar;
  return writeBootstrap(
    workloadFolder(state, sidecar.id),
    {
      namespace,
      workload: name,
      service,
      serviceAccount,
      spiffeId,
      ...(locality === undefined ? {} : { locality }),
      controlPlane,
      rootsFile,
      admin: { address: "127.0.0.1", port: sidecar.adminPort ?? ports?.admin ?? ADMIN_PORT },
      metrics: { address: sidecar.address, port: sidecar.metricsPort ?? ports?.metrics ?? METRICS_PORT },
      drainTimeMs: mesh.drainTimeMs,
      ...(concurrency === undefined ? {} : { concurrency }),
    },
    new JoinTokenStore(state, systemClock),
    tokenLifeMs,
  );
}
