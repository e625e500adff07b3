import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { it } from "node:test";

const root = path.join(import.meta.dirname, "..");

function runBin(...args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [path.join(root, "bin/heddle.mjs"), ...args], (_error, stdout) => {
      resolve({ code: child.exitCode ?? -1, output: stdout });
    });
  });
}

it("bin/heddle.mjs finds the shop's YAML good, and ends with 0", async () => {
  const { code, output } = await runBin("analyze", path.join(root, "examples/shop/mesh"));
  assert.match(output, /0 errors, 0 warnings\n$/);
  assert.equal(code, 0);
});
