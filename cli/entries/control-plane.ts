// The control plane's own program: dist/heddle-control-plane.mjs, and what dist/heddle.mjs loads for `heddle control-plane`.
import { controlPlaneCommand } from "../control-plane.ts";
import { runProcess } from "../process.ts";

export { runControlPlane } from "#control-plane/main.ts";

// Not awaited: chunks that are loaded later import this file, which would wait for them.
if (import.meta.main) void runProcess((args, context) => controlPlaneCommand.run(args, context));
