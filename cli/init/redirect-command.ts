// `heddle-init redirect` and `clean`: what the init container of a pod runs.
import { parseChoice } from "../arguments.ts";
import { exitCodes, makeCommand, type Context, type ExitCode } from "../command.ts";
import { HeddleError } from "#lib/errors.ts";
import { applyInterception, cleanInterception } from "./apply.ts";
import { needCapabilities } from "./capabilities.ts";
import { makeIptables, systemFolders } from "./iptables.ts";
import { makeRules } from "./rules.ts";
import { interceptionOptions, parseInterception, variableOf } from "./settings.ts";
import { formatRestore } from "./table.ts";

/** The container may not do what it is for: Pod Security, or a security context that somebody changed. */
const NOT_ALLOWED: ExitCode = 4;

export const redirectCommand = makeCommand({
  program: "heddle-init",
  name: "redirect",
  summary: "leads this pod's TCP connections to its proxy",
  usage: "[--exclude-outbound-ports PORTS] ... [--print]",
  details: `Writes rules into the nat tables (IPv4 and IPv6) of the network namespace that it runs in, and reads them back. Running it
again changes nothing. A setting that no flag gives is taken from the environment.`,
  options: {
    ...interceptionOptions,
    iptables: { type: "string", value: "KIND", help: "auto, nft or legacy (default: auto); HEDDLE_IPTABLES" },
    print: { type: "boolean", help: "only print what iptables-restore and ip6tables-restore would get" },
  },
  examples: [
    ["heddle-init redirect", "all TCP but the proxy's own"],
    [
      "heddle-init redirect --exclude-outbound-ports 5432 --exclude-outbound-cidrs 169.254.169.254/32",
      "with exceptions",
    ],
  ],
  exits: { 1: "a family that the pod has could not be redirected", [NOT_ALLOWED]: "NET_ADMIN or NET_RAW is missing" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const wanted = parseInterception(values, context.env);
    const choice = values.iptables ?? context.env[variableOf("iptables")] ?? "";
    const backend = choice === "" ? "auto" : parseChoice(choice, "--iptables", ["auto", "nft", "legacy"]);
    if (values.print) {
      const nothing = { chains: [], rules: [], jumps: [], isUsed: false };
      for (const family of ["IPv4", "IPv6"] as const)
        context.write(`# ${family}\n${formatRestore(makeRules(wanted, family), nothing)}`);
      return exitCodes.done;
    }
    return withCapabilities(context, () =>
      applyInterception(wanted, makeIptables(systemFolders(context.env)), backend),
    );
  },
});

export const cleanCommand = makeCommand({
  program: "heddle-init",
  name: "clean",
  summary: "takes all that redirect has written out again",
  usage: "",
  options: {},
  examples: [["heddle-init clean", "connections go their own way again"]],
  exits: { [NOT_ALLOWED]: "NET_ADMIN or NET_RAW is missing" },
  positionals: { least: 0, most: 0 },
  async run(_, context) {
    return withCapabilities(context, () => cleanInterception(makeIptables(systemFolders(context.env))));
  },
});

async function withCapabilities(context: Context, run: () => Promise<readonly string[]>): Promise<ExitCode> {
  try {
    needCapabilities();
  } catch (error) {
    if (!(error instanceof HeddleError)) throw error;
    context.writeError(`heddle-init: ${error.message} [${error.code}]\n`);
    return NOT_ALLOWED;
  }
  for (const line of await run()) context.write(`${line}\n`);
  return exitCodes.done;
}
