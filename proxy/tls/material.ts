// Certificates and roots of one TLS configuration as they stand now, and the OpenSSL context built from them.
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { CertificateSecret, CommonTls, SecretSource } from "#config/model/tls.ts";
import { describeError, HeddleError } from "#lib/errors.ts";
import type { SecretStore } from "./secret-store.ts";
import { spiffeIdOf, subjectNamesOf } from "./subject-names.ts";

/** AES-128-GCM first: Node puts AES-256 first, which costs more for nothing here (fast-path.md, TLS). */
const CIPHERS_13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const CIPHERS_12 =
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" +
  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const CURVES = "X25519:P-256:P-384";

/** No connection can be made or accepted now: a secret is missing, damaged or expired. There is no grace (contracts.md). */
export class TlsNotReadyError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_TLS_NOT_READY", message, options);
  }
}

export interface TlsMaterial {
  readonly context: SecureContext;
  readonly contextOptions: SecureContextOptions;
  /** The SPIFFE id of our own certificate. */
  readonly localIdentity: string | undefined;
  /** Unix ms after which our own certificate must not be used. */
  readonly notAfterMs: number;
  /** Says which certificate, for messages. */
  readonly certificateName: string;
}

/** Rebuilt on the first use after a secret has changed; connections that run keep the context they began with. */
export class MaterialSource {
  /** Grows with each change of a secret: part of a pool's key. */
  generation = 0;
  readonly #tls: CommonTls;
  readonly #secrets: SecretStore;
  readonly #extra: SecureContextOptions;
  readonly #unsubscribes: (() => void)[] = [];
  #material: TlsMaterial | undefined = undefined;
  readonly #onChange: () => void;

  /** `extra` is added to the context's options; `onChange` is called after a secret changed. */
  constructor(tls: CommonTls, secrets: SecretStore, extra: SecureContextOptions, onChange: () => void) {
    this.#tls = tls;
    this.#secrets = secrets;
    this.#extra = extra;
    this.#onChange = onChange;
    for (const source of [tls.certificate, tls.validation?.roots]) {
      if (source?.kind !== "sds") continue;
      this.#unsubscribes.push(secrets.subscribe(source.name, () => this.#invalidate()));
    }
  }

  /** The current material; throws `TlsNotReadyError`. */
  get(wallMs: number): TlsMaterial {
    this.#material ??= this.#build();
    const { notAfterMs, certificateName } = this.#material;
    if (wallMs > notAfterMs) {
      throw new TlsNotReadyError(`${certificateName} expired at ${new Date(notAfterMs).toISOString()}`);
    }
    return this.#material;
  }

  dispose(): void {
    for (const unsubscribe of this.#unsubscribes.splice(0)) unsubscribe();
  }

  #invalidate(): void {
    this.#material = undefined;
    this.generation++;
    this.#onChange();
  }

  #build(): TlsMaterial {
    const certificate = this.#certificate();
    const roots = this.#roots();
    const tls = this.#tls;
    const name = nameOf("the certificate", tls.certificate);
    const leaf = certificate === undefined ? undefined : parseLeaf(name, certificate.chainPem);
    const contextOptions: SecureContextOptions = {
      ...this.#extra,
      ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.keyPem }),
      ...(roots === undefined ? {} : { ca: roots }),
      minVersion: tls.minVersion ?? "TLSv1.2",
      maxVersion: tls.maxVersion ?? "TLSv1.3",
      ciphers:
        tls.cipherSuites.length === 0 ? `${CIPHERS_13}:${CIPHERS_12}` : `${CIPHERS_13}:${tls.cipherSuites.join(":")}`,
      ecdhCurve: tls.curves.length === 0 ? CURVES : tls.curves.join(":"),
      honorCipherOrder: true,
    };
    try {
      return {
        context: createSecureContext(contextOptions),
        contextOptions,
        localIdentity: leaf === undefined ? undefined : spiffeIdOf(subjectNamesOf(leaf)),
        notAfterMs: leaf === undefined ? Number.POSITIVE_INFINITY : Date.parse(leaf.validTo),
        certificateName: leaf === undefined ? "no certificate" : `${name} (serial ${leaf.serialNumber})`,
      };
    } catch (error) {
      throw new TlsNotReadyError(`Cannot use ${name}: ${describeError(error)}`, { cause: error });
    }
  }

  #certificate(): CertificateSecret | undefined {
    const source = this.#tls.certificate;
    if (source === undefined) return undefined;
    if (source.kind === "inline") return source.secret;
    const secret = this.#secrets.get(source.name);
    if (secret?.kind === "certificate") return secret.certificate;
    throw missing(source.name, "certificate", secret?.kind);
  }

  #roots(): string | undefined {
    const source = this.#tls.validation?.roots;
    if (source === undefined) return undefined;
    if (source.kind === "inline") return source.secret.bundlePem;
    const secret = this.#secrets.get(source.name);
    if (secret?.kind === "validation") return secret.bundlePem;
    throw missing(source.name, "validation", secret?.kind);
  }
}

function parseLeaf(name: string, chainPem: string): X509Certificate {
  try {
    return new X509Certificate(chainPem);
  } catch (error) {
    throw new TlsNotReadyError(`Cannot read ${name}: ${describeError(error)}`, { cause: error });
  }
}

function nameOf(what: string, source: SecretSource<CertificateSecret> | undefined): string {
  return source?.kind === "sds" ? `${what} "${source.name}"` : what;
}

function missing(name: string, wanted: string, found: string | undefined): TlsNotReadyError {
  const problem = found === undefined ? "it has not been delivered" : `it is of kind ${found}`;
  return new TlsNotReadyError(`Cannot use the secret "${name}" as ${wanted}: ${problem}`);
}
