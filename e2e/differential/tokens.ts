// ${...} in the text of a case: ports, names and numbers that are known only when it is played.

/** Replaces `${name}` in every text of a value; what `names` does not know stays. */
export function substitute<T>(value: T, names: ReadonlyMap<string, string | number>): T {
  return walk(value, names) as T; // as: the shape stays
}

function walk(value: unknown, names: ReadonlyMap<string, string | number>): unknown {
  if (typeof value === "string") return replace(value, names);
  if (Array.isArray(value)) return value.map((item) => walk(item, names));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [String(replace(key, names)), walk(item, names)]),
  );
}

function replace(text: string, names: ReadonlyMap<string, string | number>): string | number {
  if (!text.includes("${")) return text;
  // A number that stands alone, as a port, must be one.
  const whole = /^\$\{([^}]+)\}$/.exec(text)?.[1];
  const found = whole === undefined ? undefined : names.get(whole);
  if (found !== undefined) return found;
  return text.replaceAll(/\$\{([^}]+)\}/g, (token, name: string) => String(names.get(name) ?? token));
}
