// What leads from one JSON value to another, as operations of RFC 6902 (add, remove, replace).
import { isDeepStrictEqual } from "node:util";

export type PatchPath = readonly (string | number)[];

export type PatchOperation =
  | { readonly op: "add" | "replace"; readonly path: PatchPath; readonly value: unknown }
  | { readonly op: "remove"; readonly path: PatchPath };

/**
 * Operations to apply one after the other. Lists whose items have a `name` (or are told apart by their text) are changed item by
 * item, as long as what stays keeps its order; others are replaced.
 */
export function diffJson(before: unknown, after: unknown, path: PatchPath = []): readonly PatchOperation[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isObject(before) && isObject(after)) return diffObjects(before, after, path);
  if (Array.isArray(before) && Array.isArray(after))
    return diffLists(before, after, path) ?? [{ op: "replace", path, value: after }];
  return [{ op: "replace", path, value: after }];
}

/** RFC 6901. */
export function formatPointer(path: PatchPath): string {
  return path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

type JsonObject = Readonly<Record<string, unknown>>;

function diffObjects(before: JsonObject, after: JsonObject, path: PatchPath): readonly PatchOperation[] {
  const operations: PatchOperation[] = [];
  for (const key of Object.keys(before))
    if (!Object.hasOwn(after, key)) operations.push({ op: "remove", path: [...path, key] });
  for (const [key, value] of Object.entries(after))
    if (Object.hasOwn(before, key)) operations.push(...diffJson(before[key], value, [...path, key]));
    else operations.push({ op: "add", path: [...path, key], value });
  return operations;
}

function diffLists(
  before: readonly unknown[],
  after: readonly unknown[],
  path: PatchPath,
): readonly PatchOperation[] | undefined {
  const old = new Map(before.map((item) => [keyOf(item), item]));
  const wanted = new Map(after.map((item) => [keyOf(item), item]));
  if (old.size !== before.length || wanted.size !== after.length) return undefined;
  const staying = [...old.keys()].filter((key) => wanted.has(key));
  const keptOrder = [...wanted.keys()].filter((key) => old.has(key));
  if (!isDeepStrictEqual(staying, keptOrder)) return undefined;
  const operations: PatchOperation[] = [];
  for (const [index, key] of [...old.keys()].entries().toArray().toReversed())
    if (!wanted.has(key)) operations.push({ op: "remove", path: [...path, index] });
  for (const [index, [key, value]] of [...wanted].entries())
    if (old.has(key)) operations.push(...diffJson(old.get(key), value, [...path, index]));
    else operations.push({ op: "add", path: [...path, index], value });
  return operations;
}

function keyOf(item: unknown): string {
  return isObject(item) && typeof item["name"] === "string" ? `name ${item["name"]}` : JSON.stringify(item);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
