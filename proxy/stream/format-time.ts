// `%START_TIME%`: when a request began, as `Date.toISOString` writes it or in a format of its own (strftime's letters, UTC).
import type { HttpExchange } from "./exchange.ts";

/** Milliseconds since 1970. */
function startOf(exchange: HttpExchange): number {
  const { clock } = exchange.service;
  const nowMs = exchange.endMs === 0 ? clock.nowMs() : exchange.endMs;
  return Math.floor(clock.wallMs() - (nowMs - exchange.startMs));
}

/** The millisecond that was written last and its text, which requests under load share, and so with its second. */
let knownMs = Number.NaN;
let knownTime = "";
let knownSecond = Number.NaN;
let knownText = "";

function isoTime(exchange: HttpExchange): string {
  const startMs = startOf(exchange);
  if (startMs === knownMs) return knownTime;
  const second = Math.floor(startMs / 1000);
  if (second !== knownSecond) {
    knownText = new Date(second * 1000).toISOString().slice(0, 20);
    knownSecond = second;
  }
  const ms = startMs - second * 1000;
  knownMs = startMs;
  knownTime = `${knownText}${ms < 100 ? (ms < 10 ? "00" : "0") : ""}${ms}Z`;
  return knownTime;
}

/** Parts of `2026-01-31T08:09:05.123Z`; `%3f` are milliseconds, as Envoy writes a fraction. */
const LETTERS: Readonly<Record<string, (iso: string, ms: number) => string>> = {
  Y: (iso) => iso.slice(0, 4),
  m: (iso) => iso.slice(5, 7),
  d: (iso) => iso.slice(8, 10),
  H: (iso) => iso.slice(11, 13),
  M: (iso) => iso.slice(14, 16),
  S: (iso) => iso.slice(17, 19),
  F: (iso) => iso.slice(0, 10),
  T: (iso) => iso.slice(11, 19),
  "3f": (iso) => iso.slice(20, 23),
  s: (_iso, ms) => String(Math.floor(ms / 1000)),
  z: () => "+0000",
  Z: () => "UTC",
  "%": () => "%",
};

/** Throws when the format has a letter that is not known. "" = ISO 8601 with milliseconds. */
export function compileStartTime(format: string): (exchange: HttpExchange) => string {
  if (format === "") return isoTime;
  const parts = format.split(/%(3f|.)/).map((part, index) => {
    if (index % 2 === 0) return part;
    const write = LETTERS[part];
    if (write === undefined) throw new Error(`Cannot use %START_TIME(${format})%: %${part} is not known`);
    return write;
  });
  if (parts.some((part) => typeof part === "string" && part.includes("%")))
    throw new Error(`Cannot use %START_TIME(${format})%: a % must be followed by a letter`);
  return (exchange) => {
    const startMs = startOf(exchange);
    const iso = new Date(startMs).toISOString();
    let text = "";
    for (const part of parts) text += typeof part === "string" ? part : part(iso, startMs);
    return text;
  };
}
