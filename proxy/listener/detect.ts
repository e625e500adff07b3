// Tells HTTP/2, HTTP/1 and everything else apart by the first bytes of a plain connection.

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export type Detected = "http2" | "http1" | "other" | "more";

/** The longest method token that is waited for. */
const MAX_METHOD = 24;

/** `more`: these bytes can still become either. An HTTP/1 request begins with a token and a space (RFC 9112 §3). */
export function detectProtocol(bytes: Buffer): Detected {
  if (bytes.length === 0) return "more";
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) === 0) return bytes.length >= PREFACE.length ? "http2" : "more";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === 0x20) return i > 0 ? "http1" : "other";
    const isUpper = byte >= 0x41 && byte <= 0x5a;
    const isOtherToken = byte === 0x2d || byte === 0x5f || (byte >= 0x61 && byte <= 0x7a);
    if ((!isUpper && !isOtherToken) || i >= MAX_METHOD) return "other";
  }
  return "more";
}
