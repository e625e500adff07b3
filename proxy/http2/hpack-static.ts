// HPACK's static table (RFC 7541, Appendix A), and the memory of names that begins with it.
import { HeaderEntry, HeaderName, NameMemory } from "./hpack-names.ts";

const ROWS: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** Names outside the static table that sidecars see all day: remembered before the first request. */
const OFTEN_SEEN: readonly string[] = [
  ":protocol",
  "connection",
  "keep-alive",
  "proxy-connection",
  "upgrade",
  "te",
  "grpc-status",
  "grpc-message",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "traceparent",
  "tracestate",
  "x-request-id",
  "x-forwarded-for",
  "x-forwarded-proto",
];

const names = new Map<string, HeaderName>();

/** Entries 1 to 61; nothing at 0. */
export const STATIC_ENTRIES: readonly (HeaderEntry | undefined)[] = [undefined, ...ROWS.map(makeEntry)];

export const STATIC_COUNT = 61;

/** Statuses with an entry of their own, by their text. */
export const STATIC_STATUS: ReadonlyMap<string, HeaderEntry> = new Map(
  STATIC_ENTRIES.filter((entry) => entry !== undefined)
    .filter((entry) => entry.name.text === ":status")
    .map((entry) => [entry.value, entry]),
);

/** Shared by a thread's connections: a memo of a pure function, holding nothing about any of them. */
export const nameMemory: NameMemory = new NameMemory([
  ...names.values(),
  ...OFTEN_SEEN.map((text) => new HeaderName(text, 0)),
]);

function makeEntry([text, value]: readonly [string, string], row: number): HeaderEntry {
  const index = row + 1;
  const name = names.get(text) ?? new HeaderName(text, index);
  names.set(text, name);
  return new HeaderEntry(name, value, 0, -1, false, text.length + value.length + 32, index, 0);
}
