// `npm run build`: bundles what is shipped. One file per plane (and one for the worker threads of the data plane, one for init
// containers and the CNI plugin, one for the command line), with rarely used parts as chunks beside them; the licences of what was bundled in dist/LICENSES.txt.
// `--out DIR` writes elsewhere.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { makeCodeCache, tryKeepCodeCache } from "./code-cache.ts";
import { lateRe2, RE2_BUNDLE } from "./late-re2.ts";
import { leanBuiltins } from "./lean-builtins.ts";
import { leanOpentelemetry } from "./lean-opentelemetry.ts";
import { leanProtobuf } from "./lean-protobuf.ts";
import { rolldown, type CodeSplittingGroup, type OutputChunk, type Plugin } from "rolldown";

const root = path.join(import.meta.dirname, "..");
const { values } = parseArgs({ options: { out: { type: "string", default: path.join(root, "dist") } } });
const dist = path.resolve(values.out);
/** Everything is written here first: whoever runs the old bundles must not find half of the new ones. */
const draft = `${dist}-${process.pid}`;

/** Bundle -> its entry. */
const BUNDLES: Readonly<Record<string, string>> = {
  [RE2_BUNDLE]: "lib/re2-package.ts",
  "heddle-proxy-worker": "proxy/worker/entry.ts",
  "heddle-proxy": "cli/entries/proxy.ts",
  "heddle-control-plane": "cli/entries/control-plane.ts",
  "heddle-init": "cli/entries/init.ts",
  heddle: "cli/main.ts",
};

/** The command line loads a plane's own bundle instead of holding a second copy of it; its commands are chunks, one folder down. */
const PLANES: Readonly<Record<string, string>> = {
  "#proxy/main.ts": "../heddle-proxy.mjs",
  "#control-plane/main.ts": "../heddle-control-plane.mjs",
};

/**
 * V8 keeps a module's source for as long as the module lives, in one byte a character only if each is of Latin-1: a single arrow
 * in a comment doubles it (grpc-js 0.9 MB more, yaml 0.2). Outside of strings and patterns such characters are in comments alone.
 */
const oneByteSources: Plugin = {
  name: "one-byte-sources",
  renderChunk: (code) => ({
    code: code.replace(/[\u0100-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
    map: null,
  }),
};

const planesApart: Plugin = {
  name: "planes-apart",
  resolveId: (source) => {
    const id = PLANES[source];
    return id === undefined ? undefined : { id, external: true };
  },
};

/** Bundle -> what every start of it loads, which is one chunk: each file more costs the loader half a millisecond. */
const START: Readonly<Record<string, string>> = { "heddle-proxy": "cli/entries/proxy-command.ts" };

/** `root` and all that it imports, but not what it loads later. */
function oneChunk(name: string, root: string): CodeSplittingGroup {
  let members: Set<string> | undefined;
  return {
    debugName: name,
    name: (id, context) => {
      members ??= withImports(root, (of) => context.getModuleInfo(of)?.importedIds ?? [], new Set());
      return members.has(id) ? name : null;
    },
  };
}

function withImports(id: string, importsOf: (id: string) => readonly string[], seen: Set<string>): Set<string> {
  if (seen.has(id)) return seen;
  seen.add(id);
  for (const imported of importsOf(id)) withImports(imported, importsOf, seen);
  return seen;
}

/** Packages that are there only for what Heddle never does; their callers live without them. */
const ABSENT = ["@opentelemetry/winston-transport", "bufferutil", "utf-8-validate"];

const lean: Plugin[] = [leanBuiltins, leanOpentelemetry, leanProtobuf, oneByteSources];

async function bundle(name: string, entry: string): Promise<readonly OutputChunk[]> {
  const built = await rolldown({
    input: { [name]: path.join(root, entry) },
    platform: "node",
    external: ABSENT,
    plugins: [...(name === "heddle" ? [planesApart] : []), lateRe2(name !== "heddle-control-plane"), ...lean],
    transform: { target: "node26" },
    // Chunks that come from the entry's own static imports are meant: the rest is loaded when it is needed.
    checks: { ineffectiveDynamicImport: false },
  });
  const start = START[name];
  const { output } = await built.write({
    ...(start === undefined ? {} : { codeSplitting: { groups: [oneChunk(`${name}-start`, path.join(root, start))] } }),
    dir: draft,
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: ({ name: chunk }) => `chunks/${chunk.startsWith(name) ? "" : `${name}-`}[name]-[hash].mjs`,
    sourcemap: true,
    minify: false,
  });
  await built.close();
  return output.filter((file) => file.type === "chunk");
}

/** The folder of the npm package that a module is from; undefined for our own, and for what stands in place of a package. */
function packageOf(module: string): string | undefined {
  if (module.startsWith("\0")) return undefined;
  const match = /^(.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+)[/\\]/.exec(module);
  return match?.[1];
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
}

function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest; // npm installed it
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const text = file === undefined ? "" : `\n${readFileSync(path.join(folder, file), "utf8").trim()}\n`;
  return `${name ?? path.basename(folder)} ${version ?? ""}: ${license ?? "see its repository"}\n${text}`;
}

try {
  await buildAll();
  replaceFolder(draft, dist);
} finally {
  rmSync(draft, { recursive: true, force: true });
}

async function buildAll(): Promise<void> {
  const packages = new Set<string>();
  for (const [name, entry] of Object.entries(BUNDLES)) {
    if (!existsSync(path.join(root, entry))) throw new Error(`Cannot build ${name}: there is no ${entry}`);
    const chunks = await bundle(name, entry);
    for (const chunk of chunks) {
      for (const module of chunk.moduleIds) {
        const folder = packageOf(module);
        if (folder !== undefined) packages.add(folder);
      }
    }
    const size = (file: OutputChunk): number => statSync(path.join(draft, file.fileName)).size / 1024;
    const [main, ...others] = chunks.toSorted((left, right) => Number(right.isEntry) - Number(left.isEntry));
    if (main === undefined) throw new Error(`Cannot build ${name}: the bundler gave nothing`);
    const rest = others.reduce((sum, chunk) => sum + size(chunk), 0);
    console.log(`${main.fileName}: ${size(main).toFixed(0)} KiB, ${others.length} chunks ${rest.toFixed(0)} KiB`);
  }
  console.log(`cache: ${((tryKeepCodeCache(dist, draft) ?? (await makeCodeCache(draft))) / 1024).toFixed(0)} KiB`);
  const rule = `\n${"-".repeat(100)}\n`;
  const licences = [...packages].toSorted().map(licenceOf);
  writeFileSync(
    path.join(draft, "LICENSES.txt"),
    `Heddle is licensed under Apache-2.0. The bundles in this folder contain these packages:\n${rule}${licences.join(rule)}`,
  );
  console.log(`LICENSES.txt: ${licences.length} packages`);
}

/** Programs that run keep what they have loaded; chunks of the same sources have the same names. */
function replaceFolder(from: string, to: string): void {
  const old = `${from}-old`;
  if (existsSync(to)) renameSync(to, old);
  renameSync(from, to);
  rmSync(old, { recursive: true, force: true });
}
