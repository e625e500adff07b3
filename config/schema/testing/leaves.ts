// Every place of a schema where a value stands, and for each a document that is right and holds it: made from the schema, so
// that a field that comes new has one too. What no search finds is written by hand, in `seeds`.
import type { JsonPath } from "#config/load/json-path.ts";
import { isObject } from "#config/load/values.ts";
import type { FormatName } from "../formats.ts";
import { kinds } from "../kinds.ts";
import { ShapeChecker } from "../shape-checker.ts";
import type { StructuralSchema } from "../structural.ts";

/** A place of a schema: the name of a field, `[]` for an item of a list, `*` for a value of a mapping. */
export interface Leaf {
  readonly path: readonly string[];
  readonly schema: StructuralSchema;
  /** The schema of the mapping that it is a field of; undefined: it is an item, or a value of a mapping. */
  readonly holder: StructuralSchema | undefined;
}

/** Key of what stands in a mapping with free keys; also the name of a port, so that a rule that compares the two holds. */
const KEY = "http";

const samples: Readonly<Record<FormatName, string>> = {
  duration: "10s",
  quantity: "1Mi",
  objectName: "reviews",
  dnsLabel: KEY,
  hostname: "reviews.example.com",
  preciseHostname: "reviews.example.com",
  group: "",
  kind: "Service",
  labelKey: "version",
  labelValue: "v1",
  method: "PURGE",
  headerName: "x-user",
  headerValue: "v1",
  ipAddress: "127.0.0.1",
  spiffeId: "spiffe://cluster.local/ns/shop/sa/cart",
  trustDomain: "cluster.local",
  url: "http://127.0.0.1:4318",
  absolutePath: "/a",
  portReference: KEY,
  serviceRef: "shop/reviews",
  listenerRef: "shop/reviews-1:18000",
};

/** For text that has a pattern and no name of a form: the first that fits. */
const guesses = [KEY, "/a", "a", "x-user", "GET", "10s", "https://example.com", "*", "v1", "shop.Reviews", "1.0"];

/** Values for places whose rules want what no search finds; by kind and path. */
const seeds: Readonly<Record<string, unknown>> = {
  "MeshConfig tenants.sources.[].peerIdentity.pattern": "spiffe://*/ns/*/sa/*-{tenant}",
  "MeshConfig colours.[].from.[].peerIdentity.pattern": "spiffe://*/ns/*/sa/*-{colour}",
  "MeshConfig defaults.loadBalancing.locality.distribute.[].to.*": 100,
  "TrafficPolicy loadBalancing.locality.distribute.[].to.*": 100,
  "RateLimitPolicy local.[].maxWait": "1s",
};

/** All places below a schema, mappings and lists among them, in its order. */
export function leavesOf(schema: StructuralSchema, path: readonly string[] = []): readonly Leaf[] {
  const below = (key: string, inner: StructuralSchema, holder?: StructuralSchema): readonly Leaf[] => [
    { path: [...path, key], schema: inner, holder },
    ...leavesOf(inner, [...path, key]),
  ];
  const { properties = {}, items, additionalProperties } = schema;
  return [
    ...Object.entries(properties).flatMap(([name, inner]) => below(name, inner, schema)),
    ...(items === undefined ? [] : below("[]", items)),
    ...(additionalProperties === undefined ? [] : below("*", additionalProperties)),
  ];
}

/** Where a place is in the value that `makeHolding` makes. */
export function placeOf(path: readonly string[]): JsonPath {
  return path.map((step) => (step === "[]" ? 0 : step === "*" ? KEY : step));
}

/** A value that keeps the schema and has something at `path`; undefined where the search finds none. */
export function makeHolding(schema: StructuralSchema, path: readonly string[]): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return makeLeast(schema);
  if (step === "[]") {
    const item = makeHolding(schema.items ?? {}, rest);
    return item === undefined ? undefined : fitting(schema, [[item]]);
  }
  if (step === "*") {
    const value = makeHolding(schema.additionalProperties ?? {}, rest);
    return value === undefined ? undefined : fitting(schema, [{ [KEY]: value }]);
  }
  const inner = schema.properties?.[step];
  const value = inner === undefined ? undefined : makeHolding(inner, rest);
  if (value === undefined) return undefined;
  const base = { ...requiredOf(schema), [step]: value };
  return fitting(schema, variantsOf(schema, base, step));
}

// Schemas never change: what was made of one once is made of it again.
const least = new WeakMap<StructuralSchema, { readonly value: unknown }>(
  kinds.flatMap(({ kind, spec }) =>
    leavesOf(spec).flatMap(({ path, schema }) => {
      const value = seeds[`${kind} ${path.join(".")}`];
      return value === undefined ? [] : ([[schema, { value }]] as const);
    }),
  ),
);
const checkers = new WeakMap<StructuralSchema, ShapeChecker>();

/** The least value that keeps the schema. */
function makeLeast(schema: StructuralSchema): unknown {
  let known = least.get(schema);
  if (known === undefined) least.set(schema, (known = { value: makeLeastAnew(schema) }));
  return known.value;
}

function makeLeastAnew(schema: StructuralSchema): unknown {
  const { type, items, additionalProperties } = schema;
  if (schema["x-kubernetes-int-or-string"] === true) return KEY;
  if (schema.default !== undefined && type !== "object" && type !== "array") return schema.default;
  switch (type) {
    case "object": {
      const isMapping = additionalProperties !== undefined;
      return fitting(
        schema,
        isMapping ? [{ [KEY]: makeLeast(additionalProperties) }] : variantsOf(schema, requiredOf(schema)),
      );
    }
    case "array":
      return fitting(schema, [[makeLeast(items ?? {})]]);
    case "string": {
      const format = schema["x-heddle-format"];
      const texts = [...(schema.enum ?? []), ...(format === undefined ? guesses : [samples[format]])];
      return fitting(schema, texts);
    }
    case "integer":
    case "number":
      return fitting(schema, [...(schema.enum ?? []), 1, schema.minimum, schema.maximum]);
    case "boolean":
      return true;
    case undefined:
    default:
      return {};
  }
}

function requiredOf({ required = [], properties = {} }: StructuralSchema): Readonly<Record<string, unknown>> {
  const needed = required.filter((name) => properties[name] !== undefined && properties[name].default === undefined);
  return Object.fromEntries(needed.map((name) => [name, makeLeast(properties[name] ?? {})]));
}

/** The value itself, then with one other field set or changed, then with two: what a rule over the fields may want. */
function* variantsOf(
  schema: StructuralSchema,
  base: Readonly<Record<string, unknown>>,
  kept?: string,
): Generator<unknown> {
  yield base;
  if (schema["x-kubernetes-validations"] === undefined) return;
  const changes = Object.entries(schema.properties ?? {}).flatMap(
    ([name, inner]): Readonly<Record<string, unknown>>[] => {
      if (name === kept) return [];
      if (inner.enum !== undefined) return inner.enum.map((word) => ({ [name]: word }));
      return Object.hasOwn(base, name) ? [] : [{ [name]: makeLeast(inner) }];
    },
  );
  for (const one of changes) yield { ...base, ...one };
  for (const one of changes) for (const other of changes) yield { ...base, ...one, ...other };
}

/** The first of them that the schema takes. */
function fitting(schema: StructuralSchema, values: Iterable<unknown>): unknown {
  let checker = checkers.get(schema);
  if (checker === undefined) checkers.set(schema, (checker = new ShapeChecker(schema)));
  for (const value of values)
    if (value !== undefined && !holdsNothing(value) && checker.check(value, []).findings.length === 0) return value;
  return undefined;
}

/** Something in it could not be made. */
function holdsNothing(value: unknown): boolean {
  return isObject(value) ? Object.values(value).includes(undefined) : Array.isArray(value) && value.includes(undefined);
}
