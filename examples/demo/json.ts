// Looks into JSON of which nothing is known.

/** The field `name` of an object; undefined when there is none, or no object. */
export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** The field as text: strings, numbers and booleans; everything else is empty. */
export function textOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  if (typeof field === "string") return field;
  return typeof field === "number" || typeof field === "boolean" ? String(field) : "";
}

/** The field when it is an array; everything else is an empty one. */
export function listOf(value: unknown, name: string): readonly unknown[] {
  const field = fieldOf(value, name);
  return Array.isArray(field) ? field : [];
}

/** The fields of an object; of everything else none. */
export function entriesOf(value: unknown): readonly [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
