// The data plane's own program: dist/heddle-proxy.mjs. It has nothing of the control plane in it, and is also what dist/heddle.mjs
// loads for `heddle proxy`: the worker's bundle is found beside this file. What it runs is loaded by it, so that it comes from the
// cache of compiled code.
import { enableCodeCache } from "../code-cache.ts";
import type { RunProxyOptions } from "#proxy/main.ts";

enableCodeCache(import.meta.dirname);

export async function runProxy(options: RunProxyOptions): Promise<void> {
  const main = await import("#proxy/main.ts");
  await main.runProxy(options);
}

async function runCommand(): Promise<void> {
  const { proxyCommand, runProcess } = await import("./proxy-command.ts");
  await runProcess((args, context) => proxyCommand.run(args, context));
}

// Not awaited: chunks that are loaded later import this file, which would wait for them.
if (import.meta.main) void runCommand();
