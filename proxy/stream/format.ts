// Envoy's command operators (`%REQ(X)%`, `%RESPONSE_CODE%` ...) over an exchange: for access logs and header values.
// Source: Envoy docs, "Access logging: command operators".
import type { JsonValue } from "#config/model/filter-config.ts";
import type { TextBuffer } from "#lib/text-buffer.ts";

import type { HttpExchange } from "./exchange.ts";
import { makeOperator, type FormatValue, type Operator } from "./format-operators.ts";

/** A format that was compiled; `undefined` for an absent value. */
export type CompiledFormat = (exchange: HttpExchange) => FormatValue;

/**
 * Throws when an operator is unknown, with its name. A format that is one operator keeps the value's type; among others an absent
 * value is written as `absent`.
 */
export function compileFormat(format: string, absent = "-"): CompiledFormat {
  const parts: (string | Operator)[] = [];
  let rest = format;
  while (rest !== "") {
    const found = /%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)/.exec(rest);
    if (found === null) {
      parts.push(plain(rest, format));
      break;
    }
    if (found.index > 0) parts.push(plain(rest.slice(0, found.index), format));
    rest = rest.slice(found.index + found[0].length);
    const name = found[1];
    parts.push(
      name === undefined ? "%" : makeOperator(name, found[2], found[3] === undefined ? undefined : Number(found[3])),
    );
  }
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return typeof first === "string" ? () => first : first;
  return (exchange) => {
    let text = "";
    for (const part of parts) text += typeof part === "string" ? part : (part(exchange) ?? absent);
    return text;
  };
}

function plain(text: string, format: string): string {
  if (!text.includes("%")) return text;
  throw new Error(
    `Cannot read the format ${JSON.stringify(format)}: a % alone is written %%, and operators are %NAME%`,
  );
}

const compiled = new WeakMap<object, Map<string, CompiledFormat>>();

/** For header values, where an absent part is nothing: compiled once per service and format. */
export function formatText(exchange: HttpExchange, format: string): string {
  if (!format.includes("%")) return format;
  let formats = compiled.get(exchange.service);
  if (formats === undefined) compiled.set(exchange.service, (formats = new Map()));
  let made = formats.get(format);
  if (made === undefined) formats.set(format, (made = compileFormat(format, "")));
  return String(made(exchange) ?? "");
}

/** Compiles a JSON log format into what writes the JSON text: strings are formats, the rest stays as it is. */
export function compileJsonFormat(value: JsonValue): (exchange: HttpExchange, out: TextBuffer) => void {
  const parts: (string | CompiledFormat)[] = [];
  addJson(parts, value);
  const texts: string[] = [""];
  const formats: CompiledFormat[] = [];
  for (const part of parts) {
    if (typeof part === "string") texts[texts.length - 1] += part;
    else {
      formats.push(part);
      texts.push("");
    }
  }
  const last = texts.pop() ?? "";
  return (exchange, out) => {
    for (let i = 0; i < formats.length; i++) {
      out.write(texts[i] ?? "");
      writeJson(out, formats[i]?.(exchange));
    }
    out.write(last);
  };
}

/** Fixed text and formats, in the order in which they are written. */
function addJson(parts: (string | CompiledFormat)[], value: JsonValue): void {
  if (typeof value === "string") {
    parts.push(compileFormat(value));
  } else if (Array.isArray(value)) {
    parts.push("[");
    for (const [i, item] of value.entries()) {
      if (i > 0) parts.push(",");
      addJson(parts, item as JsonValue); // as: isArray loses the type of a readonly array's items
    }
    parts.push("]");
  } else if (typeof value === "object" && value !== null) {
    parts.push("{");
    for (const [i, [key, field]] of Object.entries(value).entries()) {
      parts.push(`${i > 0 ? "," : ""}${JSON.stringify(key)}:`);
      addJson(parts, field);
    }
    parts.push("}");
  } else parts.push(JSON.stringify(value));
}

/** An absent value is null. */
function writeJson(out: TextBuffer, value: FormatValue): void {
  if (typeof value === "string") out.writeJson(value);
  else if (value === undefined || (typeof value === "number" && !Number.isFinite(value))) out.write("null");
  else out.write(String(value));
}
