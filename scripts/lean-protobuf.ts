// For the bundler: Google's own descriptors, which come with protobuf-es, hydrated as late as those that we generate.
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "rolldown";

const LATE_BOOT = "\0late-boot";
const FILE_DESC = path.join(import.meta.dirname, "../config/protobuf/file-desc.ts");

export const leanProtobuf: Plugin = {
  name: "lean-protobuf",
  resolveId(source, importer) {
    if (importer === undefined || !/@bufbuild[/\\]protobuf[/\\]dist[/\\]esm[/\\]wkt[/\\]/.test(importer))
      return undefined;
    if (source.endsWith("codegenv2/file.js")) return FILE_DESC;
    return source.endsWith("codegenv2/boot.js") ? LATE_BOOT : undefined;
  },
  load(id) {
    return id === LATE_BOOT ? lateBoot() : undefined;
  },
};

/** descriptor.proto describes itself, in 15 ms; what imports it for its options only wants it to be there. */
function lateBoot(): string {
  const real = path.join(path.dirname(fileURLToPath(import.meta.resolve("@bufbuild/protobuf/codegenv2"))), "boot.js");
  return `import { boot as bootNow } from ${JSON.stringify(real)};
export function boot(init) {
  let whole;
  const file = { kind: "file", name: init.name.replace(/\\.proto$/, ""), proto: init, dependencies: [], deprecated: false };
  for (const part of ["edition", "messages", "enums", "extensions", "services"])
    Object.defineProperty(file, part, { enumerable: true, get: () => (whole ??= bootNow(init))[part] });
  return file;
}`;
}
