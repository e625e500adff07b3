// A bootstrap that is JSON and right, without the parser of YAML, which costs 50 ms of a start. Whatever else it is, load-bootstrap.ts says.
import { yamlLimits } from "../load/yaml-limits.ts";
import type { Bootstrap } from "../model/bootstrap.ts";
import type { DecodeOptions } from "../xds/issues.ts";
import { decodeBootstrap } from "./decode-bootstrap.ts";

/** Undefined when something is to be said about it, or it is no JSON: `loadBootstrap` reads it then. */
export function tryLoadJsonBootstrap(text: string, options: DecodeOptions): Bootstrap | undefined {
  const value = tryParse(text);
  if (value === undefined) return undefined;
  const { bootstrap, reader, issues } = decodeBootstrap(value, options);
  return reader.problems.length === 0 && issues.length === 0 ? bootstrap : undefined;
}

function tryParse(text: string): unknown {
  if (!/^\s*\{/.test(text) || text.length > yamlLimits.textBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const found = { keys: 0, values: 0 };
  return count(value, 1, found) && found.keys === countKeys(text) ? value : undefined;
}

/** False when YAML would not read it so: too deep, too big, a merge. */
function count(value: unknown, depth: number, found: { keys: number; values: number }): boolean {
  if (depth > yamlLimits.depth || ++found.values > yamlLimits.valuesPerDocument) return false;
  if (typeof value !== "object" || value === null) return true;
  if (!Array.isArray(value)) found.keys += Object.keys(value).length;
  // YAML merges what is under this key into what is around it.
  if (Object.hasOwn(value, "<<")) return false;
  return Object.values(value).every((item) => count(item, depth + 1, found));
}

/** Keys as they are written: JSON.parse silently keeps the last of those that are written twice. */
function countKeys(json: string): number {
  let keys = 0;
  for (const [, colon] of json.matchAll(/"(?:[^"\\]|\\.)*"\s*(:?)/g)) if (colon === ":") keys++;
  return keys;
}
