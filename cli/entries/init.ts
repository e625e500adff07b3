// The program of init containers and of the CNI plugin: dist/heddle-init.mjs. It has nothing of either plane in it.
import { runInit } from "../init/main.ts";
import { runProcess } from "../process.ts";

if (import.meta.main) void runProcess(runInit);
