// `heddle control-plane`: runs the control plane in this process.
import { exitCodes, makeCommand } from "./command.ts";
import { need } from "./arguments.ts";
import { DEFAULT_STATE_FOLDER } from "./state-folder.ts";
import { untilTerminated } from "./signals.ts";

export const controlPlaneCommand = makeCommand({
  name: "control-plane",
  summary: "runs the control plane",
  usage: "--config FOLDER [--state DIR] [OPTIONS]",
  details: `Watches a folder of YAML, and serves proxies what follows from it over xDS, certificates included. Prints one JSON line
{"message":"ready",...} when every port is open. SIGTERM and SIGINT end it, a second one at once; proxies go on with
what they have.`,
  options: {
    config: { type: "string", value: "FOLDER", help: "folder of YAML: services, routes, policies" },
    state: {
      type: "string",
      value: "DIR",
      default: DEFAULT_STATE_FOLDER,
      help: "folder of state (0700): the mesh's root and join tokens",
    },
    "secure-address": {
      type: "string",
      value: "ADDR",
      default: "127.0.0.1:15012",
      help: "xDS and certificates over TLS",
    },
    "xds-address": {
      type: "string",
      value: "ADDR",
      default: "127.0.0.1:15010",
      help: "xDS in plaintext, loopback only: for Envoy and gRPC clients on a laptop",
    },
    "metrics-address": {
      type: "string",
      value: "ADDR",
      default: "127.0.0.1:15014",
      help: "/metrics, /ready, /debug/*: what heddle status asks",
    },
    "log-level": { type: "string", value: "LEVEL", default: "info", help: "debug, info, warn or error" },
  },
  examples: [
    ["heddle control-plane --config mesh", "with its state in .heddle"],
    ["heddle control-plane --config mesh --state /var/lib/heddle --secure-address 0.0.0.0:15012", "for other machines"],
  ],
  exits: { 0: "ended by a signal", 1: "it could not start: a port is taken, the folder cannot be read" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    need(values.config, "--config");
    const { runControlPlane } = await import("#control-plane/main.ts");
    const argv = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
    const { signal, hurry } = untilTerminated();
    // Nothing of ours is half done on disk: files are replaced in one step.
    hurry.addEventListener("abort", () => process.exit(exitCodes.failed), { once: true });
    const write = (line: string): void => context.write(line);
    const code = await runControlPlane({ argv, write, writeError: (line) => context.writeError(line), signal });
    return code === 0 ? exitCodes.done : code;
  },
});
