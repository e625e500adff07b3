// `heddle-init verify`: the init container of pods whose rules the CNI plugin writes. A pod that was started before the plugin was
// on its node has none, and its application would speak plaintext: better it does not start. Needs no capability.
import { HeddleError } from "#lib/errors.ts";
import { exitCodes, makeCommand } from "../command.ts";
import { interceptionOptions, parseInterception } from "./settings.ts";
import { verifyRedirection } from "./verify.ts";

export const verifyCommand = makeCommand({
  program: "heddle-init",
  name: "verify",
  summary: "fails in a pod whose connections are not redirected",
  usage: "[the options of redirect]",
  details: `Opens a connection that the rules must lead to the proxy's outbound port, and listens there itself. It must not run as the
proxy's user or group, whose connections are not redirected.`,
  options: interceptionOptions,
  examples: [["heddle-init verify", "before the proxy starts"]],
  exits: { 1: "connections are not redirected, or nothing could be checked" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const wanted = parseInterception(values, context.env);
    if (process.getuid?.() === wanted.proxyUid || process.getgid?.() === wanted.proxyGid)
      throw new HeddleError(
        "HDL_INTERCEPTION_MISSING",
        `Cannot verify as user ${wanted.proxyUid} or group ${wanted.proxyGid}: the proxy's own connections are not redirected`,
      );
    for (const line of await verifyRedirection(wanted)) context.write(`${line}\n`);
    return exitCodes.done;
  },
});
