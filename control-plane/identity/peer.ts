// Who is at the other end of a gRPC call: the identity in its client certificate. The only place that asks grpc-js for it.
import type { ServerDuplexStream, ServerUnaryCall } from "@grpc/grpc-js";
import { X509Certificate } from "node:crypto";
import { tryPodBinding, type PodBinding } from "./pod-binding.ts";
import { trySpiffeId } from "./spiffe-id.ts";

export interface PeerIdentity {
  readonly spiffeId: string;
  readonly notAfterMs: number;
  /** The pod that the certificate is bound to; undefined: to none. */
  readonly pod: PodBinding | undefined;
}

type Call = Pick<ServerUnaryCall<unknown, unknown> | ServerDuplexStream<unknown, unknown>, "getAuthContext">;

/**
 * The peer's SPIFFE id, when it showed a certificate that our roots signed and that has not ended; grpc-js 1.14 leaves
 * `sslPeerCertificate` out unless the TLS layer verified it. `undefined` for everybody else.
 */
export function peerOf(call: Call, nowMs: number): PeerIdentity | undefined {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) return undefined;
  const certificate = new X509Certificate(raw);
  // A connection or a resumed session may outlive the certificate that it began with.
  const notAfterMs = certificate.validToDate.getTime();
  if (notAfterMs <= nowMs) return undefined;
  // The SPIFFE X.509-SVID rules: exactly one URI. Node quotes a name that holds a comma, which our form refuses.
  const uris = (certificate.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) return undefined;
  const spiffeId = uri.slice("URI:".length);
  if (trySpiffeId(spiffeId) === undefined) return undefined;
  return { spiffeId, notAfterMs, pod: tryPodBinding(certificate.subject) };
}
