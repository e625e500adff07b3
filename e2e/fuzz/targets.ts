// All fuzz targets, each loaded only when it runs: a thread loads no more than its own.
import type { Target } from "./target.ts";

const files: readonly { readonly names: readonly string[]; readonly load: () => Promise<object> }[] = [
  { names: ["http1-server"], load: async () => import("./targets/http1-server.ts") },
  { names: ["http1-client"], load: async () => import("./targets/http1-client.ts") },
  { names: ["http2-server"], load: async () => import("./targets/http2-server.ts") },
  { names: ["http2-client"], load: async () => import("./targets/http2-client.ts") },
  { names: ["hpack", "huffman"], load: async () => import("./targets/hpack.ts") },
  { names: ["client-hello", "detect"], load: async () => import("./targets/first-bytes.ts") },
  {
    names: [
      "trace-context",
      "orig-proto",
      "grpc-timeout",
      "forwarded",
      "subject-names",
      "normalize-path",
      "grpc-web-base64",
      "grpc-frames",
      "grpc-json-array",
      "path-template",
      "log-format",
      "regex",
    ],
    load: async () => import("./targets/fields.ts"),
  },
  { names: ["yaml", "bootstrap"], load: async () => import("./targets/yaml.ts") },
  { names: ["xds"], load: async () => import("./targets/xds.ts") },
  { names: ["signing-request"], load: async () => import("./targets/signing-request.ts") },
];

export const targetNames: readonly string[] = files.flatMap(({ names }) => names);

/** @throws when there is no such target. */
export async function loadTarget(name: string): Promise<Target> {
  const module = await files.find(({ names }) => names.includes(name))?.load();
  const found = Object.values(module ?? {}).find((value: unknown) => isTarget(value) && value.name === name) as unknown;
  if (!isTarget(found)) throw new Error(`there is no fuzz target ${name}`);
  return found;
}

function isTarget(value: unknown): value is Target {
  return typeof value === "object" && value !== null && "name" in value && "run" in value && "seeds" in value;
}
