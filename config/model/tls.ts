// TLS on both sides and the secrets it needs. Envoy: `extensions.transport_sockets.tls.v3`.
import type { StringMatcher } from "./matcher.ts";

export interface CommonTls {
  /** Where our own certificate comes from; none for a client without one. */
  readonly certificate: SecretSource<CertificateSecret> | undefined;
  /** What a peer's certificate is checked against. */
  readonly validation: ValidationSource | undefined;
  readonly alpn: readonly string[];
  readonly minVersion: "TLSv1.2" | "TLSv1.3" | undefined;
  readonly maxVersion: "TLSv1.2" | "TLSv1.3" | undefined;
  readonly cipherSuites: readonly string[];
  readonly curves: readonly string[];
}

export interface DownstreamTls extends CommonTls {
  readonly requireClientCertificate: boolean;
  /** Plaintext is served too on the same chain: PeerAuthentication PERMISSIVE makes two chains instead. */
  readonly sessionTickets: boolean;
}

export interface UpstreamTls extends CommonTls {
  readonly sni: string;
  readonly autoHostSni: boolean;
}

export type SecretSource<T> =
  | { readonly kind: "sds"; readonly name: string }
  | { readonly kind: "inline"; readonly secret: T };

/** PEM texts. */
export interface CertificateSecret {
  readonly chainPem: string;
  readonly keyPem: string;
}

export interface ValidationSource {
  /** PEM bundle of roots. */
  readonly roots: SecretSource<{ readonly bundlePem: string }>;
  /** At least one must match a subject alternative name; empty = any name under the roots. */
  readonly subjectAltNames: readonly {
    readonly type: "uri" | "dns" | "ip" | "email";
    readonly matcher: StringMatcher;
  }[];
  readonly acceptUntrusted: boolean;
}

/** What SDS delivers by name. */
export type Secret =
  | { readonly kind: "certificate"; readonly name: string; readonly certificate: CertificateSecret }
  | { readonly kind: "validation"; readonly name: string; readonly bundlePem: string };
