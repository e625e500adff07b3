// Few proxies transcode: what only they need is not loaded with the list of all filters.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

const root = path.join(import.meta.dirname, "..");

/** The modules that a file imports when it is loaded: neither types nor `import()`. */
function staticImports(file: string): readonly string[] {
  const text = fs.readFileSync(file, "utf8");
  return [...text.matchAll(/^(?:import|export)(?! type\b)[^;]*? from "([^"]+)";$|^import "([^"]+)";$/gms)]
    .map((match) => match[1] ?? match[2] ?? "")
    .map((name) =>
      name.startsWith("#") ? path.join(root, name.slice(1)) : name.startsWith(".") ? path.join(file, "..", name) : name,
    );
}

test("the list of all filters loads no protobuf", () => {
  const seen = new Set<string>();
  const waiting = [path.join(root, "filters/standard.ts")];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    if (path.isAbsolute(file)) waiting.push(...staticImports(file));
  }
  assert.deepEqual(
    [...seen].filter((file) => file.startsWith("@bufbuild/") || file.endsWith("grpc-json/transcoder.ts")),
    [],
  );
  assert.ok(seen.has(path.join(root, "filters/grpc-json/config.ts")));
  assert.ok(staticImports(path.join(root, "filters/grpc-json/transcoder.ts")).length > 3);
});
