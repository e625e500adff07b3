// DataSource: bytes from a file, the environment or the configuration itself.
import { create } from "@bufbuild/protobuf";
import { DataSourceSchema, type DataSource } from "./gen/envoy/config/core/v3/base_pb.ts";
import { describeError } from "#lib/errors.ts";
import type { Scope } from "./issues.ts";

/** The text of a source; "" and a report when it cannot be had. Files and variables are read through the options. */
export function readText(source: DataSource | undefined, scope: Scope): string {
  const specifier = source?.specifier;
  switch (specifier?.case) {
    case "inlineString":
      return specifier.value;
    case "inlineBytes":
      return Buffer.from(specifier.value).toString("utf8");
    case "filename":
      return readFileText(specifier.value, scope.field("filename"));
    case "environmentVariable": {
      const value = scope.options.readVariable?.(specifier.value);
      if (value === undefined)
        scope.field("environment_variable").invalid(`cannot read ${specifier.value}: it is not set`);
      return value ?? "";
    }
    case undefined:
      scope.invalid("must be set");
      return "";
  }
}

function readFileText(path: string, scope: Scope): string {
  const read = scope.options.readFile;
  if (read === undefined) {
    scope.unsupported("files are only read from the bootstrap");
    return "";
  }
  try {
    return Buffer.from(read(path)).toString("utf8");
  } catch (error) {
    scope.invalid(`cannot read ${path}: ${describeError(error)}`);
    return "";
  }
}

export function inlineText(text: string): DataSource {
  return create(DataSourceSchema, { specifier: { case: "inlineString", value: text } });
}
