// Envoy's HeaderValueOption in a filter's configuration: a header to add, with a plain value.
import type { HeaderBlock } from "#lib/http/header-block.ts";

import { FilterConfigError, type ConfigReader } from "./parse.ts";

export interface HeaderAddition {
  readonly name: string;
  readonly value: string;
  readonly action: "append" | "overwrite" | "addIfAbsent";
}

export function readHeaderAddition(reader: ConfigReader): HeaderAddition {
  const header = reader.object("header");
  if (header === undefined) throw new FilterConfigError(reader.pathOf("header"), "a header", undefined);
  const append = reader.value("append");
  const action = reader.oneOf(
    "appendAction",
    ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD"],
    "APPEND_IF_EXISTS_OR_ADD",
  );
  const value = header.string("value", "");
  // Formats are the router's; "%%" alone is a plain percent sign.
  if (value.replaceAll("%%", "").includes("%"))
    throw new FilterConfigError(header.pathOf("value"), "a plain value, without %OPERATORS%", value);
  const addition = {
    name: header.string("key").toLowerCase(),
    value: value.replaceAll("%%", "%"),
    action:
      append === false || action === "OVERWRITE_IF_EXISTS_OR_ADD"
        ? ("overwrite" as const)
        : action === "ADD_IF_ABSENT"
          ? ("addIfAbsent" as const)
          : ("append" as const),
  };
  header.done();
  reader.done();
  return addition;
}

export function addHeaders(head: HeaderBlock, additions: readonly HeaderAddition[]): void {
  for (const { name, value, action } of additions) {
    if (action === "overwrite") head.set(name, value);
    else if (action === "append" || !head.has(name)) head.add(name, value);
  }
}
