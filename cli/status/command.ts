// `heddle status`: asks the control plane how the mesh is.
import path from "node:path";
import { formatAddress } from "#config/model/address.ts";
import { systemClock } from "#lib/clock.ts";
import { parseAddress, parseChoice } from "../arguments.ts";
import { exitCodes, makeCommand } from "../command.ts";
import { getJson } from "../http-json.ts";
import { DEFAULT_STATE_FOLDER, readPlaneAddresses } from "../state-folder.ts";
import { renderStatus } from "./render.ts";
import { isHealthy, parseReport } from "./report.ts";

export const statusCommand = makeCommand({
  name: "status",
  summary: "shows proxies, what they have applied, and errors of configuration",
  usage: "[--metrics-address ADDR] [--state DIR] [--long] [--format text|json]",
  details: `For each proxy: whether it is connected, the version that it acknowledged last, and what it refused with the reason. Then
errors of configuration with file:line:column, and documents whose conditions are not all True.`,
  options: {
    "metrics-address": {
      type: "string",
      value: "ADDR",
      help: "where the control plane answers (default: what `heddle up` wrote into the state folder, else 127.0.0.1:15014)",
    },
    state: { type: "string", value: "DIR", default: DEFAULT_STATE_FOLDER, help: "folder of state of `heddle up`" },
    long: { type: "boolean", help: "all documents with all conditions" },
    format: { type: "string", default: "text", value: "FORMAT", help: "text or json" },
  },
  examples: [
    ["heddle status", "the mesh that `heddle up` runs from this folder"],
    ["heddle status --metrics-address 127.0.0.1:15014 --long", "every document with its conditions"],
    ["heddle status --format json | jq .receipts", "for another program"],
  ],
  exits: {
    0: "every proxy has the newest version, and nothing is refused",
    1: "something is refused, behind or gone",
    3: "the control plane does not answer",
  },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const format = parseChoice(values.format, "--format", ["text", "json"]);
    const written = readPlaneAddresses(path.resolve(context.folder, values.state))?.metrics;
    const text = values["metrics-address"] ?? written ?? "127.0.0.1:15014";
    const address = formatAddress(parseAddress(text, "--metrics-address"));
    const [proxies, config, receipts] = await Promise.all([
      getJson(address, "/debug/proxies"),
      getJson(address, "/debug/config"),
      // There are none before the first version.
      getJson(address, "/debug/receipts").catch(() => undefined),
    ]);
    const report = parseReport(proxies, config, receipts);
    context.write(
      format === "json"
        ? `${JSON.stringify(report, undefined, 2)}\n`
        : renderStatus(report, systemClock.wallMs(), values.long),
    );
    return isHealthy(report) ? exitCodes.done : exitCodes.failed;
  },
});
