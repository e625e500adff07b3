import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { codeCacheOf } from "./code-cache.ts";

describe("the cache of compiled code", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(path.join(tmpdir(), "heddle-cache-"))));
  after(() => rmSync(folder, { recursive: true }));

  /** What Node says of its cache in a process that was told of ours. */
  const ask = (): string => {
    const program = `import { enableCodeCache } from ${JSON.stringify(new URL("code-cache.ts", import.meta.url).href)};
      import { getCompileCacheDir } from "node:module";
      enableCodeCache(${JSON.stringify(folder)});
      process.stdout.write(getCompileCacheDir() ?? "none");`;
    const env = { ...process.env, NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: undefined };
    return spawnSync(process.execPath, ["--input-type=module", "-e", program], { env, encoding: "utf8" }).stdout;
  };

  test("is not made where there is none", () => {
    assert.equal(ask(), "none");
    assert.deepEqual(readdirSync(folder), []);
  });

  test("is used where the build made one", () => {
    mkdirSync(codeCacheOf(folder));
    assert.ok(ask().startsWith(codeCacheOf(folder)));
  });
});
