// Metadata on the wire: labels under Envoy's own keys, and what only Heddle understands under keys of its own.
// Keys of other consumers are theirs: they are no settings of ours, so they are left alone rather than refused.
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { JsonValue } from "../model/filter-config.ts";
import type { Labels } from "../model/route.ts";
import { MetadataSchema, type Metadata } from "./gen/envoy/config/core/v3/base_pb.ts";
import type { Scope } from "./issues.ts";

/** The scope of one key, for messages about it. */
export function metadataScope(scope: Scope, key: string): Scope {
  return scope.field("filter_metadata").key(key);
}

export function labelsFromWire(metadata: Metadata | undefined, key: string, scope: Scope): Labels {
  return structLabels(metadata?.filterMetadata[key] ?? {}, metadataScope(scope, key));
}

/** A struct whose values are strings; numbers and booleans stand for their text, as selectors compare text. */
export function structLabels(struct: JsonObject, scope: Scope): Labels {
  const labels: Record<string, string> = {};
  for (const [name, value] of Object.entries(struct)) {
    if (typeof value === "string") labels[name] = value;
    else if (typeof value === "number" || typeof value === "boolean") labels[name] = String(value);
    else scope.field(name).unsupported("only strings, numbers and booleans are labels");
  }
  return labels;
}

/** Nothing when every key is empty. */
export function metadataToWire(keys: {
  readonly [key: string]: { readonly [name: string]: JsonValue };
}): Metadata | undefined {
  const filled = Object.entries(keys).filter(([, struct]) => Object.keys(struct).length > 0);
  // JsonValue of the model is protobuf-es's JsonValue, readonly; it is only read.
  return filled.length === 0
    ? undefined
    : create(MetadataSchema, { filterMetadata: Object.fromEntries(filled) as Record<string, JsonObject> });
}
