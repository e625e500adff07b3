// RE2's regular expressions, whose time is linear in the text. The package (255 KiB, tables of Unicode) is loaded at the first pattern:
// most proxies have none.
import { createRequire } from "node:module";
import type { RE2JS } from "re2js";

let loaded: typeof import("./re2-package.ts") | undefined;

/** @throws when RE2 does not take the pattern. */
export function compileRe2(pattern: string): RE2JS {
  loaded ??= createRequire(import.meta.url)("./re2-package.ts") as typeof import("./re2-package.ts"); // as: that file
  return loaded.RE2JS.compile(pattern);
}
