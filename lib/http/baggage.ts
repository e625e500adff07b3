// W3C Baggage (https://www.w3.org/TR/baggage/) as far as one member of it is read or written: one pass over the text, and what is
// not ours stays as it is, letter by letter.

/** What is written is no longer than that and has no more members (§3.3.2, and the limit of its first versions). */
const MAX_BYTES = 8192;
const MAX_MEMBERS = 180;

/**
 * The value of a key, percent-decoded, without its properties; of several with that key the last, as OpenTelemetry reads it.
 * Undefined: no such member. Members that are not well-formed are nobody's. Keys have capital and small letters.
 */
export function readBaggage(baggage: string, key: string): string | undefined {
  if (!baggage.includes(key)) return undefined;
  let found: string | undefined;
  for (let start = 0; start <= baggage.length;) {
    const end = endOfMember(baggage, start);
    if (isMember(baggage, start, end, key)) found = valueIn(baggage, start, end);
    start = end + 1;
  }
  return found === undefined ? undefined : decode(found);
}

/** Whether there is a member of that key. */
export function hasBaggage(baggage: string, key: string): boolean {
  if (!baggage.includes(key)) return false;
  for (let start = 0; start <= baggage.length;) {
    const end = endOfMember(baggage, start);
    if (isMember(baggage, start, end, key)) return true;
    start = end + 1;
  }
  return false;
}

/** Without the members of that key; "" when no other is left. */
export function removeBaggage(baggage: string, key: string): string {
  return join(othersOf(baggage, key), Number.POSITIVE_INFINITY);
}

/**
 * With this member in the place of all of its key, before the others: those at the end go, whole, when there is no room for them.
 * Undefined: the member alone is too long.
 */
export function writeBaggage(baggage: string, key: string, value: string): string | undefined {
  const own = `${key}=${encode(value)}`;
  if (own.length > MAX_BYTES) return undefined;
  return join([own, ...othersOf(baggage, key).slice(0, MAX_MEMBERS - 1)], MAX_BYTES);
}

function endOfMember(baggage: string, start: number): number {
  const comma = baggage.indexOf(",", start);
  return comma < 0 ? baggage.length : comma;
}

/** `key OWS = ...`, after blanks. */
function isMember(baggage: string, start: number, end: number, key: string): boolean {
  const at = skipBlanks(baggage, start, end);
  if (!baggage.startsWith(key, at)) return false;
  const equals = skipBlanks(baggage, at + key.length, end);
  return equals < end && baggage.charCodeAt(equals) === 0x3d;
}

function valueIn(baggage: string, start: number, end: number): string {
  const equals = baggage.indexOf("=", start);
  const properties = baggage.indexOf(";", equals);
  return baggage.slice(equals + 1, properties < 0 || properties > end ? end : properties).trim();
}

function skipBlanks(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Blanks alone: what else `trim` takes off (U+00A0) would make a member out of what nobody took for one. */
function withoutBlanks(text: string, start: number, end: number): string {
  const from = skipBlanks(text, start, end);
  let to = end;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function othersOf(baggage: string, key: string): string[] {
  const others: string[] = [];
  for (let start = 0; start <= baggage.length;) {
    const end = endOfMember(baggage, start);
    if (!isMember(baggage, start, end, key)) {
      const member = withoutBlanks(baggage, start, end);
      if (member !== "") others.push(member);
    }
    start = end + 1;
  }
  return others;
}

function join(members: readonly string[], maxBytes: number): string {
  let text = "";
  for (const member of members) {
    const next = text === "" ? member : `${text},${member}`;
    if (next.length > maxBytes) return text;
    text = next;
  }
  return text;
}

/** Octets outside of `baggage-octet` (§3.3.1.3), and the percent sign, as UTF-8. */
function encode(value: string): string {
  return value.replaceAll(/[^!#$&-+\-./0-9:<-[\]-~]+/gu, (part) =>
    [...Buffer.from(part)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** What is no UTF-8 is U+FFFD (§3.3.1.3); a percent sign that begins no octet is itself. */
function decode(value: string): string {
  if (!value.includes("%")) return value;
  return value.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (octets) =>
    Buffer.from(octets.replaceAll("%", ""), "hex").toString("utf8"),
  );
}
