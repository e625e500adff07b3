// `x-forwarded-client-cert`: what is told of the peer's certificate, as Envoy writes it, and never from anybody but a verified peer
// (Envoy `forward_client_cert_details`, `set_current_client_cert_details`).
import { X509Certificate } from "node:crypto";

import type { HttpConnectionManager } from "#config/model/listener.ts";
import type { ConnectionView } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { parseSubjectNames } from "#proxy/tls/subject-names.ts";

const NAME = "x-forwarded-client-cert";

/** What a certificate says, worked out once per connection and set of details. */
interface Known {
  readonly details: HttpConnectionManager["clientCertDetails"];
  readonly element: string;
}

const elements = new WeakMap<ConnectionView, Known>();

export function settleClientCertificate(
  head: HeaderBlock,
  connection: ConnectionView,
  config: HttpConnectionManager,
): void {
  const mode = config.forwardClientCert;
  if (mode === "always_forward_only") return;
  const isVerified = connection.peerIdentity !== undefined || connection.peerCertificatePem !== undefined;
  if (mode === "sanitize" || !isVerified) {
    head.delete(NAME);
    return;
  }
  if (mode === "forward_only") return;
  const given = mode === "append_forward" ? head.getJoined(NAME) : undefined;
  const own = elementOf(connection, config.clientCertDetails);
  if (own === "") head.delete(NAME);
  else head.set(NAME, given === undefined ? own : `${given},${own}`);
}

function elementOf(connection: ConnectionView, details: HttpConnectionManager["clientCertDetails"]): string {
  const known = elements.get(connection);
  if (known?.details === details) return known.element;
  const element = describeCertificate(connection, details);
  elements.set(connection, { details, element });
  return element;
}

/** One element, its keys in Envoy's order: By, Hash, Cert, Subject, URI, DNS. */
export function describeCertificate(
  connection: ConnectionView,
  details: HttpConnectionManager["clientCertDetails"],
): string {
  const { localIdentity, peerIdentity, peerCertificatePem: pem } = connection;
  const certificate = pem === undefined ? undefined : new X509Certificate(pem);
  const names = parseSubjectNames(certificate?.subjectAltName);
  const parts: string[] = [];
  if (localIdentity !== undefined) parts.push(`By=${localIdentity}`);
  if (certificate !== undefined) {
    parts.push(`Hash=${certificate.fingerprint256.replaceAll(":", "").toLowerCase()}`);
    if (details.cert) parts.push(`Cert="${encodeURIComponent(certificate.toString())}"`);
    if (details.subject) parts.push(`Subject="${escapeQuotes(formatSubject(certificate.subject))}"`);
  }
  if (details.uri) parts.push(`URI=${peerIdentity ?? names.uris[0] ?? ""}`);
  if (details.dns) for (const name of names.dns) parts.push(`DNS=${name}`);
  return parts.join(";");
}

/** Node's lines (`C=DE`, `O=Shop`, `CN=a`) as RFC 2253 writes a name: the most specific part first. */
function formatSubject(subject: string | undefined): string {
  return (subject ?? "")
    .split("\n")
    .filter((line) => line !== "")
    .toReversed()
    .join(",");
}

function escapeQuotes(text: string): string {
  return text.replaceAll(/["\\]/g, "\\$&");
}
