// The cache of compiled code that the main thread uses, for the threads that it starts: Node has each of them ask anew.
import { getCompileCacheDir } from "node:module";
import path from "node:path";

/** The environment of a data thread; undefined: that of the process. */
export function threadEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv | undefined {
  const folder = getCompileCacheDir();
  if (folder === undefined) return undefined;
  // Node has made a folder per version and user in the one that it was told.
  return { ...environment, NODE_COMPILE_CACHE: path.dirname(folder), NODE_COMPILE_CACHE_PORTABLE: "1" };
}
