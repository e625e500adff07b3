// gRPC's status codes beside HTTP's, and the fields that carry them.

/** The names of gRPC's codes, by number (google/rpc/code.proto). */
export const grpcStatusNames = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** gRPC's code for an HTTP status (grpc/doc/http-grpc-status-mapping.md; 429 as Envoy says it, UNAVAILABLE). */
export function grpcStatusFor(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** By gRPC code: OK, CANCELLED ... UNAUTHENTICATED (google/rpc/code.proto). */
const HTTP_STATUSES = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** The HTTP status for a gRPC code; 500 for a code that there is not. */
export function httpStatusFor(code: number): number {
  return HTTP_STATUSES[code] ?? 500;
}

/** Percent-encoding of `grpc-message` (gRPC over HTTP/2: everything outside 0x20..0x7E, and `%`). */
export function encodeGrpcMessage(message: string | Buffer): string {
  let encoded = "";
  for (const byte of typeof message === "string" ? Buffer.from(message) : message) {
    encoded +=
      byte < 0x20 || byte > 0x7e || byte === 0x25
        ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
        : String.fromCharCode(byte);
  }
  return encoded;
}

/** Never fails: what is no percent-encoding stays as it is. */
export function decodeGrpcMessage(encoded: string): string {
  if (!encoded.includes("%")) return encoded;
  const bytes = encoded.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString();
}
