// V8's collector on demand, without a flag on the command line.
import v8 from "node:v8";
import vm from "node:vm";

/** Flags are the process's: another thread may take this one back before it is used. */
const TRIES = 100;

/** Collects this thread's garbage as under memory pressure, which also makes the spaces small; a plain one leaves them as they are. */
export function collectGarbage(): void {
  for (let i = 0; i < TRIES; i++) {
    v8.setFlagsFromString("--expose-gc");
    const collect: unknown = vm.runInNewContext("globalThis.gc");
    v8.setFlagsFromString("--no-expose-gc");
    if (typeof collect !== "function") continue;
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
    return;
  }
}
