// The compiled code of a start lies beside the bundles (dist/cache, made by `npm run build`): V8 reads it instead of parsing and compiling.
// Another version of Node or other flags do without it. Imports nothing: a bundle loads what it imports before it runs.

/** Where the cache of the bundles in `folder` is. */
export function codeCacheOf(folder: string): string {
  return `${folder}/cache`;
}

/** To be called before what is to come from the cache is imported. Sources have none. */
export function enableCodeCache(folder: string): void {
  const directory = codeCacheOf(folder);
  const { existsSync } = process.getBuiltinModule("node:fs");
  if (existsSync(directory)) process.getBuiltinModule("node:module").enableCompileCache({ directory, portable: true });
}
