// Cookies of a request.

/** Quotes belong to the value's spelling, not to the value: ours comes back with or without them (RFC 6265 §4.1.1). */
export function readCookie(cookies: string | undefined, name: string): string | undefined {
  for (const part of cookies?.split(";") ?? []) {
    const equals = part.indexOf("=");
    if (equals <= 0 || part.slice(0, equals).trim() !== name) continue;
    const value = part.slice(equals + 1).trim();
    return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return undefined;
}
