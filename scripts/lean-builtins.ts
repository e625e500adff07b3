// For the bundler: Node's own modules without what nobody asks of them. `import ... from "node:x"` makes the module's namespace, which
// reads every export, and many of those load more: `node:http` the undici inside Node (16 MB, 20 ms), `node:fs` streams and watchers.
import { isBuiltin } from "node:module";
import type { Plugin } from "rolldown";

const EAGER = "\0lean:";
const LATE = "\0late:";

/** Loaded at the first use of one of their exports: dear, and not needed by every process or thread. */
const LATE_MODULES: ReadonlySet<string> = new Set([
  "child_process",
  "crypto",
  "dns",
  "dns/promises",
  "fs/promises",
  "http",
  "http2",
  "https",
  "inspector",
  "inspector/promises",
  "module",
  "os",
  "tls",
  "v8",
  "vm",
  "zlib",
]);

export const leanBuiltins: Plugin = {
  name: "lean-builtins",
  resolveId(source, importer, { kind }) {
    // The bundler's own helpers stand before everything else.
    if (importer?.startsWith("\0") === true) return undefined;
    if (!isBuiltin(source) || kind === "dynamic-import") return undefined;
    const name = source.replace(/^node:/, "");
    // What packages require must stay what it is: some modules are functions. Of http they only use members.
    const isOurs = importer === undefined || !/[/\\]node_modules[/\\]/.test(importer);
    if (!isOurs && name !== "http") return undefined;
    return (isOurs && LATE_MODULES.has(name) ? LATE : EAGER) + name;
  },
  load(id) {
    if (id.startsWith(EAGER)) return eager(id.slice(EAGER.length));
    if (id.startsWith(LATE)) return late(id.slice(LATE.length));
    return undefined;
  },
};

function builtinOf(name: string): object | undefined {
  return process.getBuiltinModule(`node:${name}`);
}

/** Only the exports that are used are read. */
function eager(name: string): string {
  const builtin = builtinOf(name) ?? {};
  const names = Object.entries(Object.getOwnPropertyDescriptors(builtin))
    .filter(([key, how]) => isIdentifier(key) && (name !== "http" || how.get === undefined))
    .map(([key]) => `export const ${key} = /*@__PURE__*/ exportNamed(${JSON.stringify(key)});`);
  return [
    `const builtinModule = process.getBuiltinModule("node:${name}");`,
    "const exportNamed = (name) => builtinModule[name];",
    "export default builtinModule;",
    ...names,
  ].join("\n");
}

/** A CommonJS module: whoever imports it reads members where they are used, not when it is loaded. */
function late(name: string): { readonly code: string; readonly moduleType: "js" } {
  const names = Object.keys(builtinOf(name) ?? {}).filter(isIdentifier);
  const code = [
    `for (const name of ${JSON.stringify(names)})`,
    `  Object.defineProperty(exports, name, { enumerable: true, get: () => process.getBuiltinModule("node:${name}")[name] });`,
  ].join("\n");
  return { code, moduleType: "js" };
}

function isIdentifier(name: string): boolean {
  return /^[A-Za-z_$][\w$]*$/.test(name) && name !== "default";
}
