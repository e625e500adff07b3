// V8's collector on demand, without a flag on the command line.
import v8 from "node:v8";
import vm from "node:vm";

/** Collects this thread's garbage as under memory pressure, which also makes the spaces small; a plain one leaves them as they are. */
export function collectGarbage(): void {
  v8.setFlagsFromString("--expose-gc");
  const collect: unknown = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
