// Reads server name and ALPN out of a ClientHello without taking the bytes away from TLS (RFC 8446 §4.1.2, RFC 6066 §3).

export interface ClientHello {
  /** Lower case; "" = none. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
/** Larger ones exist (post-quantum keys, many tickets), but none above this is worth waiting for. */
export const MAX_HELLO_BYTES = 32 * 1024;

/** Of a record's content (RFC 8446 §5.2); no plaintext record is as long. */
const MAX_RECORD_BYTES = 16_384 + 256;

/** "more": more bytes decide. "other": these are no TLS. */
export function readClientHello(bytes: Buffer): ClientHello | "more" | "other" {
  if (bytes.length === 0) return "more";
  if (bytes[0] !== HANDSHAKE) return "other";
  if (bytes.length > 1 && bytes[1] !== 3) return "other";
  // Cheap while it is coming: a hello in many small records is joined only when it can be whole.
  const isBegun = bytes.length >= 9 && bytes.readUInt16BE(3) >= 4 && bytes.readUInt16BE(3) <= MAX_RECORD_BYTES;
  if (isBegun && bytes[5] === CLIENT_HELLO && isLacking(bytes)) return "more";
  const joined = joinRecords(bytes);
  if (joined === "other") return joined;
  const { message, isBroken } = joined;
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return "other";
  const isTooLong = bytes.length > MAX_HELLO_BYTES;
  if (message.length < 4) return isBroken || isTooLong ? "other" : "more";
  const length = message.readUIntBE(1, 3);
  if (length > MAX_HELLO_BYTES) return "other";
  if (message.length < 4 + length) return isBroken ? "other" : "more";
  return parseBody(message.subarray(4, 4 + length));
}

function isLacking(bytes: Buffer): boolean {
  const length = bytes.readUIntBE(6, 3);
  return length <= MAX_HELLO_BYTES && bytes.length < 9 + length;
}

/**
 * The handshake bytes of all records that have begun. Broken: behind them comes what is no record of a handshake, which matters
 * only to a hello that is not complete by then.
 */
function joinRecords(bytes: Buffer): { readonly message: Buffer; readonly isBroken: boolean } | "other" {
  const parts: Buffer[] = [];
  let isBroken = false;
  for (let p = 0; p + 5 <= bytes.length;) {
    const length = bytes.readUInt16BE(p + 3);
    isBroken = bytes[p] !== HANDSHAKE || bytes[p + 1] !== 3 || length === 0 || length > MAX_RECORD_BYTES;
    if (isBroken) break;
    parts.push(bytes.subarray(p + 5, p + 5 + length));
    p += 5 + length;
  }
  if (isBroken && parts.length === 0) return "other";
  return { message: parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts), isBroken };
}

function parseBody(body: Buffer): ClientHello | "other" {
  try {
    let p = 34;
    p += 1 + body.readUInt8(p);
    p += 2 + body.readUInt16BE(p);
    p += 1 + body.readUInt8(p);
    if (p === body.length) return { serverName: "", alpn: [] };
    const end = p + 2 + body.readUInt16BE(p);
    p += 2;
    let serverName = "";
    let alpn: readonly string[] = [];
    while (p + 4 <= end) {
      const type = body.readUInt16BE(p);
      const length = body.readUInt16BE(p + 2);
      const extension = body.subarray(p + 4, p + 4 + length);
      if (type === SERVER_NAME) serverName = parseServerName(extension);
      else if (type === ALPN) alpn = parseAlpn(extension);
      p += 4 + length;
    }
    return { serverName, alpn };
  } catch (error) {
    // Lengths that point outside of the message: TLS will say what is wrong with it.
    if (error instanceof RangeError) return "other";
    throw error;
  }
}

function parseServerName(extension: Buffer): string {
  for (let p = 2; p + 3 <= extension.length;) {
    const length = extension.readUInt16BE(p + 1);
    if (extension[p] === 0) return extension.toString("latin1", p + 3, p + 3 + length).toLowerCase();
    p += 3 + length;
  }
  return "";
}

function parseAlpn(extension: Buffer): readonly string[] {
  const protocols: string[] = [];
  for (let p = 2; p < extension.length;) {
    const length = extension.readUInt8(p);
    protocols.push(extension.toString("latin1", p + 1, p + 1 + length));
    p += 1 + length;
  }
  return protocols;
}
