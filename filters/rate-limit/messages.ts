// The two messages of Envoy's rate-limit service (service.ratelimit.v3) as bytes. By hand: protobuf-es is not loaded for two messages.
import type { Descriptor } from "../descriptors/describe.ts";

const VARINT = 0;
const BYTES = 2;

export interface LimitStatus {
  readonly isOver: boolean;
  /** Of the limit that the descriptor met; undefined: none is set for it. */
  readonly limit: { readonly name: string; readonly requestsPerUnit: number; readonly unitSeconds: number } | undefined;
  readonly remaining: number;
  readonly resetMs: number;
}

export interface LimitAnswer {
  readonly code: "ok" | "overLimit";
  readonly statuses: readonly LimitStatus[];
  readonly responseHeaders: readonly (readonly [name: string, value: string])[];
  readonly requestHeaders: readonly (readonly [name: string, value: string])[];
}

/** RateLimitRequest. `hits_addend` of the whole request stays unset: each descriptor has its own, or counts for one. */
export function encodeRequest(domain: string, descriptors: readonly Descriptor[]): Buffer {
  const parts = [field(1, Buffer.from(domain))];
  for (const { entries, hits } of descriptors) {
    const inner: Buffer[] = [];
    for (let i = 0; i < entries.length; i += 2) {
      const pair = [field(1, Buffer.from(entries[i] ?? "")), field(2, Buffer.from(entries[i + 1] ?? ""))];
      inner.push(field(1, Buffer.concat(pair)));
    }
    // A UInt64Value: 0 hits only ask.
    if (hits !== undefined) inner.push(field(3, hits === 0 ? NOTHING : Buffer.from([0x08, ...varint(hits)])));
    parts.push(field(2, Buffer.concat(inner)));
  }
  return Buffer.concat(parts);
}

const NOTHING = Buffer.alloc(0);

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([...varint((number << 3) | BYTES), ...varint(bytes.length)]), bytes]);
}

function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

/** Seconds of `RateLimit.Unit`, in the order of its numbers: UNKNOWN, SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, WEEK. */
const UNIT_SECONDS = [0, 1, 60, 3600, 86_400, 2_592_000, 31_536_000, 604_800];

/** RateLimitResponse. Throws when the bytes are no message. */
export function decodeAnswer(bytes: Buffer): LimitAnswer {
  let code = 0;
  const statuses: LimitStatus[] = [];
  const responseHeaders: (readonly [string, string])[] = [];
  const requestHeaders: (readonly [string, string])[] = [];
  for (const { number, value, inner } of fieldsOf(bytes)) {
    if (number === 1) code = value;
    else if (number === 2) statuses.push(decodeStatus(inner));
    else if (number === 3) responseHeaders.push(...decodeHeader(inner));
    else if (number === 4) requestHeaders.push(...decodeHeader(inner));
  }
  // As in Envoy, whatever is not over the limit passes.
  return { code: code === OVER_LIMIT ? "overLimit" : "ok", statuses, responseHeaders, requestHeaders };
}

const OVER_LIMIT = 2;

function decodeStatus(bytes: Buffer): LimitStatus {
  let isOver = false;
  let limit: LimitStatus["limit"];
  let remaining = 0;
  let resetMs = 0;
  for (const { number, value, inner } of fieldsOf(bytes)) {
    if (number === 1) isOver = value === OVER_LIMIT;
    else if (number === 2) limit = decodeLimit(inner);
    else if (number === 3) remaining = value;
    else if (number === 4)
      for (const part of fieldsOf(inner)) resetMs += part.number === 1 ? part.value * 1000 : part.value / 1e6;
  }
  return { isOver, limit, remaining, resetMs };
}

function decodeLimit(bytes: Buffer): LimitStatus["limit"] {
  let name = "";
  let requestsPerUnit = 0;
  let unitSeconds = 0;
  for (const { number, value, inner } of fieldsOf(bytes)) {
    if (number === 1) requestsPerUnit = value;
    else if (number === 2) unitSeconds = UNIT_SECONDS[value] ?? 0;
    else if (number === 3) name = inner.toString();
  }
  return { name, requestsPerUnit, unitSeconds };
}

/**
 * core.v3.HeaderValue: the value as text or, in the newer field, as bytes. Nothing for what no field may be called or hold
 * (RFC 9110 §5.1, §5.5), and for those that frame a message.
 */
function decodeHeader(bytes: Buffer): readonly (readonly [name: string, value: string])[] {
  let name = "";
  let text = "";
  for (const { number, inner } of fieldsOf(bytes)) {
    if (number === 1) name = inner.toString().toLowerCase();
    else if (number === 2 || number === 3) text = inner.toString("latin1");
  }
  const isField = /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && !/[\0\r\n]/.test(text) && !FRAMING.has(name);
  return isField ? [[name, text]] : [];
}

const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "te",
  "transfer-encoding",
  "upgrade",
]);

interface WireField {
  readonly number: number;
  /** Of a varint. */
  readonly value: number;
  /** Of what has a length. */
  readonly inner: Buffer;
}

function fieldsOf(bytes: Buffer): readonly WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || factor > 2 ** 63) throw new RangeError("the rate-limit service's message is cut off");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const kind = tag % 8;
    const number = Math.floor(tag / 8);
    if (kind === VARINT) {
      fields.push({ number, value: readVarint(), inner: NOTHING });
      continue;
    }
    const length = kind === BYTES ? readVarint() : kind === 1 ? 8 : kind === 5 ? 4 : Number.NaN;
    if (!(at + length <= bytes.length)) throw new RangeError("the rate-limit service's message is cut off");
    fields.push({ number, value: 0, inner: bytes.subarray(at, at + length) });
    at += length;
  }
  return fields;
}
