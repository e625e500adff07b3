// YAML text to plain values that remember their positions; the only door of the `yaml` package.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  stringify,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import { describeError } from "#lib/errors.ts";
import { ConfigError, type ConfigErrorCode, type Position } from "./config-error.ts";
import { formatPath, tryParsePath, type JsonPath, type PathStep } from "./json-path.ts";

/** Bounds of what one file may make us hold. Aliases count as what they expand to. */
export const yamlLimits = { textBytes: 8 * 1024 * 1024, nodesPerDocument: 200_000, depth: 64 } as const;

/** Says where a value of one document stands. */
export interface Locator {
  /** The position of the value (or of its key) at `path`; where nothing stands there, of the nearest parent. */
  locate(path: JsonPath | string, what?: "value" | "key"): Position;
}

/** A document as plain JSON values: null-prototype-free objects, arrays, strings, numbers, booleans, null. */
export interface YamlDocument extends Locator {
  readonly file: string;
  readonly value: unknown;
}

export interface YamlFile {
  readonly documents: readonly YamlDocument[];
  readonly errors: readonly ConfigError[];
}

/** Parses every document of `text`. Never throws: what is wrong is in `errors`, and a document with an error is not in `documents`. */
export function parseYaml(text: string, file: string): YamlFile {
  if (text.length > yamlLimits.textBytes) {
    const message = `Cannot read ${file}: it has ${text.length} characters, the limit is ${yamlLimits.textBytes}`;
    return {
      documents: [],
      errors: [new ConfigError({ code: "HDL_CONFIG_TOO_LARGE", file, line: 1, column: 1, path: "", message })],
    };
  }
  const lines = new LineCounter();
  const documents: YamlDocument[] = [];
  const errors: ConfigError[] = [];
  for (const parsed of parseTolerantly(text, file, lines, errors)) {
    const before = errors.length;
    for (const problem of [...parsed.errors, ...parsed.warnings]) errors.push(syntaxError(problem, file, lines));
    if (errors.length > before || parsed.contents === null) continue;
    const reader = new NodeReader(parsed, file, lines, errors);
    const value = reader.read();
    if (errors.length > before || value === null) continue;
    documents.push({ file, value, locate: (path, what = "value") => locate(parsed, lines, path, what) });
  }
  return { documents, errors };
}

/** Writes values as YAML, for generated files. Long text is folded by nobody: one value, one line. */
export function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function parseTolerantly(
  text: string,
  file: string,
  lines: LineCounter,
  errors: ConfigError[],
): readonly Document.Parsed[] {
  try {
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      merge: true,
      logLevel: "silent",
    });
    return Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    // The parser is recursive: text nested thousands of levels deep ends its stack.
    const message = `Cannot parse ${file}: ${describeError(error)}`;
    errors.push(new ConfigError({ code: "HDL_CONFIG_TOO_LARGE", file, line: 1, column: 1, path: "", message }));
    return [];
  }
}

function syntaxError(problem: YAMLError, file: string, lines: LineCounter): ConfigError {
  const { line, column } = positionAt(lines, problem.pos[0]);
  const code: ConfigErrorCode =
    problem.code === "DUPLICATE_KEY"
      ? "HDL_CONFIG_DUPLICATE_KEY"
      : problem.code === "RESOURCE_EXHAUSTION"
        ? "HDL_CONFIG_TOO_LARGE"
        : "HDL_CONFIG_SYNTAX";
  const hint = syntaxHints[problem.code];
  const message = `Cannot parse ${file}: ${problem.message}`;
  return new ConfigError({ code, file, line, column, path: "", message, ...(hint === undefined ? {} : { hint }) });
}

const aliasHint = "an alias (*name) needs an anchor (&name) before it; text that begins with * needs quotes";

const syntaxHints: { readonly [code: string]: string } = {
  TAB_AS_INDENT: "YAML is indented with spaces",
  BAD_INDENT: "lines of one mapping or list must begin in the same column",
  DUPLICATE_KEY: "remove one of the two, the second would silently replace the first",
  BAD_ALIAS: aliasHint,
  TAG_RESOLVE_FAILED: "text that begins with ! needs quotes",
};

function positionAt(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return line === 0 ? { line: 1, column: 1 } : { line, column: col };
}

/** Turns nodes into values, with a budget, so that no document costs more than its limits. */
class NodeReader {
  readonly #document: Document.Parsed;
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #errors: ConfigError[];
  #nodesLeft: number = yamlLimits.nodesPerDocument;

  constructor(document: Document.Parsed, file: string, lines: LineCounter, errors: ConfigError[]) {
    this.#document = document;
    this.#file = file;
    this.#lines = lines;
    this.#errors = errors;
  }

  read(): unknown {
    return this.#value(this.#document.contents, []);
  }

  #value(node: unknown, path: JsonPath): unknown {
    if (node === null || node === undefined) return null;
    if (this.#nodesLeft <= 0) return null;
    if (--this.#nodesLeft === 0 || path.length > yamlLimits.depth) {
      const limit = this.#nodesLeft === 0 ? `${yamlLimits.nodesPerDocument} values` : `${yamlLimits.depth} levels`;
      this.#nodesLeft = 0;
      this.#report("HDL_CONFIG_TOO_LARGE", node, path, `a document holds more than ${limit}, its aliases expanded`);
      return null;
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined)
        this.#report("HDL_CONFIG_SYNTAX", node, path, `the alias *${node.source} has no anchor before it`, aliasHint);
      return this.#value(target, path);
    }
    if (isScalar(node)) return typeof node.value === "bigint" ? Number(node.value) : node.value;
    if (isSeq(node)) return node.items.map((item, index) => this.#value(item, [...path, index]));
    if (isMap(node)) return this.#mapping(node, path);
    return null;
  }

  #mapping(node: YAMLMap, path: JsonPath): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const { key, pair } of entriesOf(node, this.#document)) {
      if (typeof key !== "string") {
        this.#report(
          "HDL_CONFIG_SYNTAX",
          pair.key,
          path,
          `a key must be text: got ${JSON.stringify(key) ?? "a collection"}`,
        );
        continue;
      }
      // defineProperty: a key called __proto__ is data, never the prototype.
      const value = this.#value(pair.value, [...path, key]);
      Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true });
    }
    return result;
  }

  #report(code: ConfigErrorCode, node: unknown, path: JsonPath, found: string, hint?: string): void {
    const position = positionAt(this.#lines, startOf(node) ?? 0);
    const message = `Cannot parse ${this.#file}: ${found}`;
    this.#errors.push(
      new ConfigError({
        code,
        file: this.#file,
        ...position,
        path: formatPath(path),
        message,
        ...(hint === undefined ? {} : { hint }),
      }),
    );
  }
}

/** The pairs of a mapping with merge keys (`<<`) spread; what the mapping says itself wins over what it merges. */
function entriesOf(node: YAMLMap, document: Document.Parsed, depth = 0): { key: unknown; pair: Pair }[] {
  const own: { key: unknown; pair: Pair }[] = [];
  const merged: { key: unknown; pair: Pair }[] = [];
  for (const pair of node.items) {
    const key = keyOf(pair.key);
    const sources = key === "<<" || typeof key === "symbol" ? mergeSources(pair.value, document) : undefined;
    if (sources === undefined) own.push({ key, pair });
    else if (depth < 8) for (const source of sources) merged.push(...entriesOf(source, document, depth + 1));
  }
  if (merged.length === 0) return own;
  const seen = new Set(own.map((entry) => entry.key));
  for (const entry of merged) {
    if (seen.has(entry.key)) continue;
    seen.add(entry.key);
    own.push(entry);
  }
  return own;
}

function mergeSources(value: unknown, document: Document.Parsed): YAMLMap[] | undefined {
  const node = isAlias(value) ? value.resolve(document) : value;
  if (isMap(node)) return [node];
  if (!isSeq(node)) return undefined;
  const maps = node.items.map((item) => (isAlias(item) ? item.resolve(document) : item)).filter((item) => isMap(item));
  return maps.length === node.items.length ? maps : undefined;
}

function keyOf(key: unknown): unknown {
  if (!isScalar(key)) return key === null ? "" : key;
  // `8080: 80` and `true: x` are read as the text that was written, as Kubernetes reads them.
  return typeof key.value === "number" || typeof key.value === "boolean"
    ? (key.source ?? String(key.value))
    : key.value;
}

function locate(
  document: Document.Parsed,
  lines: LineCounter,
  path: JsonPath | string,
  what: "value" | "key",
): Position {
  const steps: JsonPath = typeof path === "string" ? (tryParsePath(path) ?? []) : path;
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of steps.entries()) {
    const found = stepInto(node, step, document);
    if (found === undefined) break;
    const isLast = index === steps.length - 1;
    const keyStart = startOf(found.key);
    offset = (isLast && what === "key" ? keyStart : startOf(found.value)) ?? keyStart ?? offset;
    node = found.value;
  }
  return positionAt(lines, offset);
}

function stepInto(
  node: unknown,
  step: PathStep,
  document: Document.Parsed,
): { key?: unknown; value: unknown } | undefined {
  const target = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(target)) {
    const index = Number(step);
    return index in target.items ? { value: target.items[index] } : undefined;
  }
  if (!isMap(target)) return undefined;
  const entry = entriesOf(target, document).find(({ key }) => key === String(step));
  return entry === undefined ? undefined : { key: entry.pair.key, value: entry.pair.value };
}

function startOf(node: unknown): number | undefined {
  const range = (node as Partial<Node> | null | undefined)?.range;
  return range === null || range === undefined ? undefined : range[0];
}
