// Changes values inside a file of YAML documents and leaves the rest of its text alone: comments, order, quotes.
import { isDeepStrictEqual } from "node:util";
import { isMap, isSeq, LineCounter, parseDocument, type Document, type ToStringOptions } from "yaml";
import { diffJson, type PatchOperation } from "#lib/json-patch.ts";
import { ConfigError } from "./config-error.ts";

/**
 * Calls `edit` with the value of each document that is not empty. A document that it gives back as it was is not touched at all; the
 * others keep their comments, unless they change what an alias stands for. @throws {ConfigError} for text that is no YAML.
 */
export function editYaml(text: string, file: string, edit: (value: unknown) => unknown): string {
  let line = 1;
  let result = "";
  for (const part of splitDocuments(text)) {
    result += editDocument(part, file, line, edit);
    line += part.split("\n").length - 1;
  }
  return result;
}

/** At lines that begin a document; nothing is lost between the parts. */
function splitDocuments(text: string): readonly string[] {
  return text.split(/^(?=---(?:\s|$))/m);
}

function editDocument(text: string, file: string, firstLine: number, edit: (value: unknown) => unknown): string {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, logLevel: "silent" });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    const message = `Cannot parse ${file}: ${error.message}`;
    const position = { line: Math.max(line, 1) + firstLine - 1, column: Math.max(col, 1) };
    throw new ConfigError({ code: "HDL_CONFIG_SYNTAX", file, ...position, path: "", message });
  }
  const before: unknown = document.toJS();
  if (before === null) return text;
  const after = edit(before);
  const operations = diffJson(before, after);
  if (operations.length === 0) return text;
  if (!tryApply(document, operations) || !isDeepStrictEqual(document.toJS(), after))
    document.contents = document.createNode(after) as typeof document.contents; // as: any node is a document's contents
  return document.toString(styleOf(text));
}

/** False where a path leads through an alias. */
function tryApply(document: Document, operations: readonly PatchOperation[]): boolean {
  for (const operation of operations) {
    const { path } = operation;
    const last = path.at(-1);
    const parent = document.getIn(path.slice(0, -1), true);
    if (isSeq(parent) && typeof last === "number") {
      if (operation.op === "remove") parent.items.splice(last, 1);
      else parent.items.splice(last, operation.op === "add" ? 0 : 1, document.createNode(operation.value));
    } else if (isMap(parent)) {
      if (operation.op === "remove") parent.delete(last);
      else parent.set(last, document.createNode(operation.value));
    } else return false;
  }
  return true;
}

/** How the text is written already, as far as the package can be told. */
function styleOf(text: string): ToStringOptions {
  const [, parent = "", item] = /^( *)[^\s#-][^\n]*:[^\S\n]*\n(?: *#[^\n]*\n)*( *)- /m.exec(text) ?? [];
  const indent = /^( +)[^\s#-]/m.exec(text)?.[1]?.length ?? 2;
  return {
    lineWidth: 0,
    indent: Math.min(Math.max(indent, 1), 8),
    indentSeq: item === undefined || item.length > parent.length,
    flowCollectionPadding: /\{ \S/.test(text) || !/\{\S/.test(text),
    ...(text.includes("'") && !text.includes('"') ? { singleQuote: true } : {}),
  };
}
