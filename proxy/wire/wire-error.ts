// Turns what the system and OpenSSL throw into the few kinds that a caller handles differently.
import type { WireError, WireErrorKind } from "./wire.ts";

const KINDS: Readonly<Record<string, WireErrorKind>> = {
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EADDRNOTAVAIL: "unreachable",
  EHOSTDOWN: "unreachable",
  ETIMEDOUT: "timeout",
  ECONNRESET: "reset",
  EPIPE: "reset",
  ECONNABORTED: "reset",
};

export function makeWireError(kind: WireErrorKind, message: string, code = ""): WireError {
  return { kind, message, code };
}

/** `what` says what was being done, as `Cannot connect to 10.0.0.1:80`. */
export function toWireError(what: string, thrown: unknown): WireError {
  const code = thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  const found = thrown instanceof Error ? thrown.message : String(thrown);
  return makeWireError(kindOf(code), `${what}: ${found}`, code);
}

function kindOf(code: string): WireErrorKind {
  const known = KINDS[code];
  if (known !== undefined) return known;
  // OpenSSL's verify results (CERT_HAS_EXPIRED) and errors (ERR_SSL_..., EPROTO) have no common prefix.
  const isTls = /^(?:ERR_SSL_|ERR_TLS_|EPROTO$|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_PURPOSE|HOSTNAME_)/.test(
    code,
  );
  return isTls ? "tls" : "other";
}
