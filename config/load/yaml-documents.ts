// YAML text to plain values that remember their positions; with yaml-nodes.ts the only door of the `yaml` package.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  stringify,
  type Document,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import { describeError } from "#lib/errors.ts";
import { ConfigError, type ConfigErrorCode, type Position } from "./config-error.ts";
import { formatPath, tryParsePath, type JsonPath } from "./json-path.ts";
import { yamlLimits } from "./yaml-limits.ts";
import { NodeGraph, startOf } from "./yaml-nodes.ts";

/** Says where a value of one document stands. */
export interface Locator {
  /** The position of the value (or of its key) at `path`; where nothing stands there, of the nearest parent. */
  locate(path: JsonPath | string, what?: "value" | "key"): Position;
}

/** A document as plain JSON values: objects, arrays, strings, numbers, booleans, null. */
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
    const nodes = new NodeGraph(parsed);
    const value = new NodeReader(nodes, file, lines, errors).read(parsed.contents);
    if (errors.length > before || value === null) continue;
    documents.push({
      file,
      value,
      locate: (path, what = "value") => locate(parsed.contents, nodes, lines, path, what),
    });
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
  readonly #nodes: NodeGraph;
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #errors: ConfigError[];
  #valuesLeft: number = yamlLimits.valuesPerDocument;

  constructor(nodes: NodeGraph, file: string, lines: LineCounter, errors: ConfigError[]) {
    this.#nodes = nodes;
    this.#file = file;
    this.#lines = lines;
    this.#errors = errors;
  }

  read(node: unknown, path: JsonPath = []): unknown {
    if (node === null || node === undefined || this.#valuesLeft <= 0) return null;
    if (--this.#valuesLeft === 0 || path.length > yamlLimits.depth) {
      const limit = this.#valuesLeft === 0 ? `${yamlLimits.valuesPerDocument} values` : `${yamlLimits.depth} levels`;
      this.#valuesLeft = 0;
      this.#report("HDL_CONFIG_TOO_LARGE", node, path, `a document holds more than ${limit}, its aliases expanded`);
      return null;
    }
    const target = this.#nodes.follow(node);
    if (target === undefined) {
      const name = isAlias(node) ? node.source : "";
      this.#report("HDL_CONFIG_SYNTAX", node, path, `the alias *${name} has no anchor before it`, aliasHint);
      return null;
    }
    if (isScalar(target)) return typeof target.value === "bigint" ? Number(target.value) : target.value;
    if (isSeq(target)) return target.items.map((item, index) => this.read(item, [...path, index]));
    return isMap(target) ? this.#mapping(target, path) : null;
  }

  #mapping(node: YAMLMap, path: JsonPath): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const { key, pair } of this.#nodes.entriesOf(node)) {
      if (typeof key !== "string") {
        const found = isMap(key) || isSeq(key) ? "a collection" : String(key);
        this.#report("HDL_CONFIG_SYNTAX", pair.key, path, `a key must be text: got ${found}`);
        continue;
      }
      // defineProperty: a key called __proto__ is data, never the prototype.
      const value = this.read(pair.value, [...path, key]);
      Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true });
    }
    return result;
  }

  #report(code: ConfigErrorCode, node: unknown, path: JsonPath, found: string, hint?: string): void {
    const position = positionAt(this.#lines, startOf(node) ?? 0);
    const message = `Cannot parse ${this.#file}: ${found}`;
    const details = { code, file: this.#file, ...position, path: formatPath(path), message };
    this.#errors.push(new ConfigError(hint === undefined ? details : { ...details, hint }));
  }
}

function locate(
  root: unknown,
  nodes: NodeGraph,
  lines: LineCounter,
  path: JsonPath | string,
  what: "value" | "key",
): Position {
  const steps: JsonPath = typeof path === "string" ? (tryParsePath(path) ?? []) : path;
  let node = root;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of steps.entries()) {
    const found = nodes.stepInto(node, step);
    if (found === undefined) break;
    const isLast = index === steps.length - 1;
    const keyStart = startOf(found.key);
    offset = (isLast && what === "key" ? keyStart : startOf(found.value)) ?? keyStart ?? offset;
    node = found.value;
  }
  return positionAt(lines, offset);
}
