// For the bundler: has lib/re2.ts find its package in dist/chunks, or holds it where a bundle must be one file.
import path from "node:path";
import type { Plugin } from "rolldown";

export const RE2_BUNDLE = "chunks/heddle-re2";
const FILE = path.join(import.meta.dirname, "../lib/re2.ts");
const LOAD = 'createRequire(import.meta.url)("./re2-package.ts")';

/** `isApart`: chunks lie beside the bundle. */
export function lateRe2(isApart: boolean): Plugin {
  return {
    name: "late-re2",
    transform(code, id) {
      if (id !== FILE) return undefined;
      if (!code.includes(LOAD)) throw new Error(`${FILE} has no ${LOAD}`);
      if (!isApart)
        return {
          code: `import * as re2Package from "./re2-package.ts"; ${code.replace(LOAD, "re2Package")}`,
          map: null,
        };
      const folder = '(import.meta.url.includes("/chunks/") ? "./" : "./chunks/")';
      return {
        code: code.replace(LOAD, `createRequire(import.meta.url)(${folder} + "${path.basename(RE2_BUNDLE)}.mjs")`),
        map: null,
      };
    },
  };
}
