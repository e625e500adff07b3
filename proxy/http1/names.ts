// Header names without a new string per field: what recurs is found by the hash of its bytes, in the letters it was sent in.

/** How a field concerns the connection; everything else is `FIELD`. */
export const FIELD = 0;
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const TRANSFER_ENCODING = 3;
export const CONNECTION = 4;
export const TE = 5;
export const UPGRADE = 6;
export const EXPECT = 7;
export const KEEP_ALIVE = 8;
/** Of this hop and without a meaning to us: `proxy-connection`, `http2-settings`. */
export const HOP = 9;

export interface FieldName {
  /** Lower case. */
  readonly lower: string;
  /** As it was sent. */
  readonly raw: string;
  readonly kind: number;
}

const KINDS: ReadonlyMap<string, number> = new Map([
  ["host", HOST],
  ["content-length", CONTENT_LENGTH],
  ["transfer-encoding", TRANSFER_ENCODING],
  ["connection", CONNECTION],
  ["te", TE],
  ["upgrade", UPGRADE],
  ["expect", EXPECT],
  ["keep-alive", KEEP_ALIVE],
  ["proxy-connection", HOP],
  ["http2-settings", HOP],
]);

const COMMON =
  "accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials " +
  "access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers " +
  "access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc authorization baggage b3 " +
  "cache-control content-disposition content-encoding content-language content-location content-range content-type " +
  "cookie date dnt etag expires forwarded from grpc-status grpc-message grpc-timeout idempotency-key if-match " +
  "if-modified-since if-none-match if-range if-unmodified-since last-event-id last-modified link location max-forwards " +
  "origin pragma priority proxy-authenticate proxy-authorization proxy-status range referer referrer-policy retry-after " +
  "sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-extensions " +
  "sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing set-cookie " +
  "strict-transport-security timing-allow-origin traceparent tracestate trailer transfer-encoding " +
  "upgrade-insecure-requests user-agent vary version via warning www-authenticate x-b3-parentspanid x-b3-sampled x-b3-spanid " +
  "x-b3-traceid x-content-type-options x-envoy-upstream-service-time x-forwarded-client-cert x-forwarded-for " +
  "x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id x-tenant";

interface Slot extends FieldName {
  readonly hash: number;
  readonly bytes: Buffer;
}

const SLOTS = 2048;
/** Longer names are made anew each time. */
const MAX_LEARNED = 64;

/**
 * One slot per hash. The names of the RFCs are put in first, in lower case and Title-Case, and stay; other names take a slot
 * that is free or was learned: a client that sends ever new names costs strings, never memory.
 */
class NameTable {
  readonly #known: (Slot | undefined)[] = Array.from({ length: SLOTS });
  readonly #learned: (Slot | undefined)[] = Array.from({ length: SLOTS });

  constructor() {
    for (const lower of [...KINDS.keys(), ...COMMON.split(" ")]) {
      this.#put(lower);
      this.#put(lower.replaceAll(/(^|-)([a-z])/g, (_all, dash: string, letter: string) => dash + letter.toUpperCase()));
    }
  }

  /** `hash` is `hashName` of the range. */
  find(bytes: Buffer, start: number, end: number, hash: number): FieldName {
    const index = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#known[index];
    if (known !== undefined && known.hash === hash && equals(known.bytes, bytes, start, end)) return known;
    const learned = this.#learned[index];
    if (learned !== undefined && learned.hash === hash && equals(learned.bytes, bytes, start, end)) return learned;
    const made = makeSlot(bytes.toString("latin1", start, end), hash);
    if (end - start <= MAX_LEARNED) this.#learned[index] = made;
    return made;
  }

  #put(raw: string): void {
    const bytes = Buffer.from(raw, "latin1");
    const hash = hashName(bytes, 0, bytes.length);
    this.#known[(hash ^ (hash >>> 15)) & (SLOTS - 1)] ??= makeSlot(raw, hash);
  }
}

/** The scan computes the same while it checks the bytes. */
export function hashName(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  return hash;
}

function makeSlot(raw: string, hash: number): Slot {
  const lower = raw.toLowerCase();
  return { lower, raw, kind: KINDS.get(lower) ?? FIELD, hash, bytes: Buffer.from(raw, "latin1") };
}

function equals(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}

/** A cache of pure values, so one for all. */
export const fieldNames = new NameTable();
