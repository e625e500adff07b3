// `heddle dump`: prints what one proxy tells of itself on its admin port.
import { parseChoice, UsageError } from "./arguments.ts";
import { adminOptions, findAdmins } from "./admin-addresses.ts";
import { exitCodes, makeCommand } from "./command.ts";
import { getText } from "./http-json.ts";

/** What can be dumped, and where a proxy answers it. */
const PATHS = {
  config: "/config_dump",
  clusters: "/clusters",
  listeners: "/listeners",
  stats: "/stats",
  certs: "/certs",
  discovery: "/discovery",
  server: "/server_info",
} as const;

const WHAT = Object.keys(PATHS) as readonly (keyof typeof PATHS)[]; // the keys of this very object

export const dumpCommand = makeCommand({
  name: "dump",
  summary: "prints what one proxy has: configuration, clusters, listeners, statistics",
  usage: `[${WHAT.join("|")}] (--admin ADDR | --workload NAMESPACE/NAME [--config FOLDER] [--state DIR])`,
  details: `Asks the proxy itself, so it is what is in force there, not what was sent. Private keys are never shown.`,
  options: {
    ...adminOptions,
    workload: { type: "string", value: "NAMESPACE/NAME", help: "the proxy by its node id" },
  },
  examples: [
    ["heddle dump --admin 127.0.0.1:15000", "its configuration as JSON"],
    ["heddle dump clusters --workload shop/orders-1", "endpoints with health, ejections and breakers"],
    ["heddle dump stats --admin 127.0.0.1:15000 | grep breaker", "statistics in Prometheus' format"],
  ],
  exits: { 3: "the proxy does not answer" },
  positionals: { least: 0, most: 1 },
  async run({ values, positionals }, context) {
    const what = parseChoice(positionals[0] ?? "config", "What to dump", WHAT);
    const targets = await findAdmins(values, context);
    const wanted = values.workload === undefined ? targets : targets.filter(({ id }) => id === values.workload);
    const [target] = wanted;
    if (target === undefined || wanted.length > 1) {
      const known = targets.map(({ id, address }) => (id === "" ? address : id)).join(", ");
      throw new UsageError(`Name one proxy with --admin or --workload: there are ${known}`);
    }
    const text = await getText(target.address, PATHS[what]);
    context.write(text.endsWith("\n") ? text : `${text}\n`);
    return exitCodes.done;
  },
});
