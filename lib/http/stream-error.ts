// Why a stream or a connection died: who began it, how far the damage goes, and whether the request may be sent again.

/** HTTP/2's error codes (RFC 9113 §7) serve both protocols. */
export const H2_ERROR = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

/** `us`: we refuse; `peer`: it told us; `transport`: the socket failed; `user`: the other side of the proxy went away. */
export type ErrorOrigin = "us" | "peer" | "transport" | "user";

/** A value rather than a thrown error: it is made on hot paths and carries no stack. */
export interface StreamError {
  readonly origin: ErrorOrigin;
  readonly scope: "stream" | "connection";
  /** One of `H2_ERROR`. */
  readonly code: number;
  /** What happened, for `Proxy-Status` details and logs. */
  readonly message: string;
  /** The peer provably did not process the request: REFUSED_STREAM, above GOAWAY's last id, nothing written. */
  readonly isUnprocessed: boolean;
  /** For an HTTP/1 or HTTP/2 request that we refuse before it is a stream: the status to answer (400, 413, 431, 501 ...). */
  readonly status: number;
}

export function makeStreamError(
  origin: ErrorOrigin,
  scope: "stream" | "connection",
  code: number,
  message: string,
  isUnprocessed = false,
  status = 0,
): StreamError {
  return { origin, scope, code, message, isUnprocessed, status };
}

/** `PROTOCOL_ERROR` for 1; `0x2a` for a code that nobody defined. */
export function formatErrorCode(code: number): string {
  for (const [name, value] of Object.entries(H2_ERROR)) if (value === code) return name;
  return `0x${code.toString(16)}`;
}
