// The CustomResourceDefinition of a kind, made from the same schema that validates it.

import { isObject } from "#config/load/values.ts";
import { conditionSchema } from "./conditions.ts";
import { apiVersionOf, type KindDefinition } from "./kind.ts";
import type { StructuralSchema } from "./structural.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** The object to apply to a cluster. */
export function crdOf(definition: KindDefinition) {
  const { kind, group, plural, shortNames, scope, version, description, columns, rules } = definition;
  const object: StructuralSchema = {
    type: "object",
    description,
    required: ["spec"],
    // Without fieldPath: Kubernetes knows no fields of metadata.
    ...(rules.length === 0
      ? {}
      : { "x-kubernetes-validations": rules.map(({ rule, message }) => ({ rule, message })) }),
    properties: {
      apiVersion: { type: "string", description: `${apiVersionOf(definition)}.` },
      kind: { type: "string", description: `${kind}.` },
      metadata: { type: "object" },
      spec: definition.spec,
      status: conditionSchema,
    },
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ["heddle"],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns.map(({ name, type, jsonPath }) => ({ name, type, jsonPath })),
          schema: { openAPIV3Schema: toOpenApi(object) },
        },
      ],
    },
  };
}

/** The schema as Kubernetes takes it: our own words left out, and fields with a default not required. */
function toOpenApi(schema: StructuralSchema): { readonly [key: string]: Json | undefined } {
  const { properties, items, additionalProperties, required } = schema;
  const result: { [key: string]: Json | undefined } = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith("x-heddle-") || ["properties", "items", "additionalProperties", "required"].includes(key))
      continue;
    result[key] = toJson(key === "default" ? withDefaults(schema, value) : value);
  }
  const needed = required?.filter((field) => properties?.[field]?.default === undefined) ?? [];
  if (needed.length > 0) result["required"] = needed;
  if (items !== undefined) result["items"] = toOpenApi(items);
  if (additionalProperties !== undefined) result["additionalProperties"] = toOpenApi(additionalProperties);
  if (properties !== undefined)
    result["properties"] = Object.fromEntries(
      Object.entries(properties).map(([field, property]) => [field, toOpenApi(property)]),
    );
  return result;
}

/** A default with the defaults of its own fields: the rules of a schema are tried on it as it stands. */
function withDefaults({ properties }: StructuralSchema, value: unknown): unknown {
  if (!isObject(value) || properties === undefined) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [field, property] of Object.entries(properties)) {
    const given = filled[field] ?? property.default;
    if (given !== undefined) filled[field] = withDefaults(property, given);
  }
  return filled;
}

function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json; // schemas are plain data
}
