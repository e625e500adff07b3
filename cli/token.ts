// `heddle token`: issues a join token for one workload and prints it.
import path from "node:path";
import { JoinTokenStore } from "#control-plane/identity/join-tokens.ts";
import { systemClock } from "#lib/clock.ts";
import { parseWorkloadId, UsageError } from "./arguments.ts";
import { parseLife } from "./bootstrap.ts";
import { exitCodes, makeCommand } from "./command.ts";
import { findSidecar, readMeshFolder } from "./mesh-folder.ts";
import { DEFAULT_STATE_FOLDER, writtenWorkloads } from "./state-folder.ts";

export const tokenCommand = makeCommand({
  name: "token",
  summary: "issues a join token for one workload",
  usage: "--workload NAMESPACE/NAME [--state DIR] [--config FOLDER | --identity SPIFFE-ID] [--life 1h]",
  details: `Prints a token with which one proxy can have one certificate of the workload's identity, once, within the token's life.
Only its hash is kept. Without --config or --identity, the identity is that of the workload's bootstrap in DIR.`,
  options: {
    workload: { type: "string", value: "NAMESPACE/NAME", help: "whose identity the token is for" },
    state: { type: "string", value: "DIR", default: DEFAULT_STATE_FOLDER, help: "the control plane's folder of state" },
    config: { type: "string", value: "FOLDER", help: "folder of YAML that names the workload" },
    identity: { type: "string", value: "SPIFFE-ID", help: "the identity itself, instead of --workload" },
    life: { type: "string", value: "TIME", default: "1h", help: "how long the token is good, at most 720h" },
  },
  examples: [
    ["heddle token --workload shop/orders-1", "a token for a workload that was bootstrapped before"],
    ["heddle token --workload shop/orders-1 --config mesh --life 10m", "for one that is only in the YAML"],
    ["heddle token --identity spiffe://cluster.local/ns/shop/sa/orders", "for an identity"],
  ],
  exits: { 1: "nothing is known of the workload" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const state = path.resolve(context.folder, values.state);
    const identity = values.identity ?? (await identityOf(values, context.folder, state));
    const token = new JoinTokenStore(state, systemClock).issueToken(identity, parseLife(values.life));
    context.write(`${token}\n`);
    return exitCodes.done;
  },
});

interface Wanted {
  readonly workload: string | undefined;
  readonly config: string | undefined;
}

async function identityOf({ workload, config }: Wanted, folder: string, state: string): Promise<string> {
  const { namespace, name } = parseWorkloadId(workload);
  const id = `${namespace}/${name}`;
  if (config !== undefined) return findSidecar(await readMeshFolder(path.resolve(folder, config)), id).spiffeId;
  const written = writtenWorkloads(state).find((candidate) => candidate.id === id);
  if (written !== undefined) return written.spiffeId;
  throw new UsageError(`${state} has no bootstrap of ${id}: give --config FOLDER or --identity SPIFFE-ID`);
}
