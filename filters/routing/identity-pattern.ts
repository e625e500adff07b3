// Patterns over SPIFFE ids.

/**
 * `*` matches within one segment of a SPIFFE id, `{tenant}` (or what the place is called) captures one. No other operator, so
 * matching is linear.
 */
export function compileIdentity(pattern: string, place = "tenant"): RegExp {
  const source = pattern
    .replaceAll(/[.+?^$()|[\]\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replace(`{${place}}`, `(?<${place}>[^/]+)`)
    .replaceAll(/[{}]/g, "\\$&");
  return new RegExp(`^${source}$`);
}
