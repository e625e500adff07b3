// Reads documents of configuration, from text, a file or a folder, into objects that know where each value stands.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeError } from "#lib/errors.ts";
import { ConfigError, type ConfigErrorCode, type ConfigErrorDetails, type Position } from "./config-error.ts";
import { formatPath, tryParsePath, type JsonPath } from "./json-path.ts";
import { describeValue, isObject } from "./values.ts";
import { parseYaml, type Locator, type YamlDocument } from "./yaml-documents.ts";

/** Where an object came from. `line` and `column` are its beginning; 0 where it is in no file (`formatPlace`). */
export interface Source extends Locator, Position {
  /** A path, or `kubernetes HTTPRoute shop/cart`. */
  readonly file: string;
}

export interface RawMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly [field: string]: unknown;
}

/** A document as the user wrote it: the shape of a Kubernetes object, its spec not yet checked. */
export interface ResourceDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: RawMetadata;
  readonly spec: unknown;
  /** Fields of the document other than the four above (`status`, or a mistake). */
  readonly rest: Readonly<Record<string, unknown>>;
  readonly source: Source;
}

export interface Loaded {
  readonly documents: readonly ResourceDocument[];
  readonly errors: readonly ConfigError[];
}

/** Loads a file, or every *.yaml and *.yml below a folder (hidden ones left out), in the order of their names. Never rejects. */
export async function loadFolder(path: string): Promise<Loaded> {
  const documents: ResourceDocument[] = [];
  const errors: ConfigError[] = [];
  for (const file of await listFiles(path, errors)) {
    const loaded = await loadFile(file);
    documents.push(...loaded.documents);
    errors.push(...loaded.errors);
  }
  return { documents, errors };
}

/** Loads one file. Never rejects: an unreadable file is an error in the answer. */
async function loadFile(file: string): Promise<Loaded> {
  try {
    return loadText(await readFile(file, "utf8"), file);
  } catch (error) {
    return { documents: [], errors: [unreadable(file, error)] };
  }
}

/** Loads the documents in `text`; `file` is the name that errors give. Pure, and never throws. */
export function loadText(text: string, file: string): Loaded {
  const parsed = parseYaml(text, file);
  const documents: ResourceDocument[] = [];
  const errors: ConfigError[] = [...parsed.errors];
  for (const document of parsed.documents) readObject(document, document.value, [], documents, errors);
  return { documents, errors };
}

/** Makes an error at a place of an object; the position is looked up from the path. */
export function problemAt(
  source: Source,
  path: JsonPath,
  details: Omit<ConfigErrorDetails, "file" | "line" | "column" | "path"> & { readonly at?: "value" | "key" },
): ConfigError {
  const { at = "value", ...rest } = details;
  return new ConfigError({ ...rest, file: source.file, ...source.locate(path, at), path: formatPath(path) });
}

function readObject(
  document: YamlDocument,
  value: unknown,
  base: JsonPath,
  documents: ResourceDocument[],
  errors: ConfigError[],
): void {
  const source = sourceOf(document, base);
  const refuse = (path: JsonPath, found: string, hint?: string): void => {
    const message = `Cannot read an object in ${document.file}: ${found}`;
    const code: ConfigErrorCode = "HDL_CONFIG_NOT_A_RESOURCE";
    errors.push(problemAt(source, path, { code, message, ...(hint === undefined ? {} : { hint }) }));
  };
  if (!isObject(value)) {
    refuse([], `it must be a mapping with apiVersion, kind, metadata and spec: got ${describeValue(value)}`);
    return;
  }
  const { apiVersion, kind, metadata, spec, ...rest } = value;
  // `kubectl get -o yaml` answers with a List of objects.
  if (kind === "List" && Array.isArray(rest["items"])) {
    const items: unknown[] = rest["items"];
    for (const [index, item] of items.entries())
      readObject(document, item, [...base, "items", index], documents, errors);
    return;
  }
  const before = errors.length;
  if (typeof apiVersion !== "string" || apiVersion === "")
    refuse(
      ["apiVersion"],
      `apiVersion must be text: got ${describeValue(apiVersion)}`,
      'for example "heddle.dev/v1alpha1"',
    );
  if (typeof kind !== "string" || kind === "")
    refuse(["kind"], `kind must be text: got ${describeValue(kind)}`, 'for example "HTTPRoute"');
  const what = typeof kind === "string" && kind !== "" ? kind : "object";
  if (!isObject(metadata))
    refuse(["metadata"], `metadata of this ${what} must be a mapping with a name: got ${describeValue(metadata)}`);
  else if (typeof metadata["name"] !== "string" || metadata["name"] === "")
    refuse(["metadata", "name"], `metadata.name of this ${what} must be text: got ${describeValue(metadata["name"])}`);
  if (errors.length > before) return;
  documents.push({ apiVersion, kind, metadata, spec, rest, source } as ResourceDocument); // each was checked just above
}

function sourceOf(document: YamlDocument, base: JsonPath): Source {
  const locate: Source["locate"] = (path, what) =>
    document.locate([...base, ...(typeof path === "string" ? (tryParsePath(path) ?? []) : path)], what);
  return { file: document.file, ...locate([]), locate };
}

async function listFiles(path: string, errors: ConfigError[]): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    const files: string[] = [];
    for (const entry of entries.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
      // A name that begins with a dot is an editor's or Kubernetes' (..data) own.
      if (entry.name.startsWith(".")) continue;
      const child = join(path, entry.name);
      const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(child)));
      if (isFolder && !entry.isSymbolicLink()) files.push(...(await listFiles(child, errors)));
      else if (!isFolder && /\.ya?ml$/.test(entry.name)) files.push(child);
    }
    return files;
  } catch (error) {
    errors.push(unreadable(path, error));
    return [];
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

function unreadable(file: string, error: unknown): ConfigError {
  const message = `Cannot read ${file}: ${describeError(error)}`;
  return new ConfigError({ code: "HDL_CONFIG_UNREADABLE", file, line: 1, column: 1, path: "", message });
}
