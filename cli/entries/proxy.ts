// The data plane's own program: dist/heddle-proxy.mjs. It has nothing of the control plane in it, and is also what dist/heddle.mjs
// loads for `heddle proxy`: the worker's bundle is found beside this file.
import { proxyCommand } from "../proxy.ts";
import { runProcess } from "../process.ts";

export { runProxy } from "#proxy/main.ts";

// Not awaited: chunks that are loaded later import this file, which would wait for them.
if (import.meta.main) void runProcess((args, context) => proxyCommand.run(args, context));
