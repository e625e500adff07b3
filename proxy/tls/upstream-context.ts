// TLS towards upstreams: one context per configuration, one set of expectations and one session per target.
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import type { UpstreamTls } from "#config/model/tls.ts";
import type { Clock } from "#lib/clock.ts";
import type { ClientTls } from "#proxy/wire/connect.ts";
import type { WireError, WireTls } from "#proxy/wire/wire.ts";
import { KnownCertificates } from "./certificate-facts.ts";
import { MaterialSource } from "./material.ts";
import { checkPeer } from "./peer-check.ts";
import type { SecretStore } from "./secret-store.ts";
import { compileNameCheck, type NameCheck, requireIdentity } from "./subject-names.ts";

export interface TlsTarget {
  /** The one SPIFFE id that the server must show; undefined = what `validation` says. */
  readonly expectedIdentity?: string | undefined;
  /** For `autoHostSni`. */
  readonly hostname?: string | undefined;
  /** Instead of the configuration's ALPN. */
  readonly alpn?: readonly string[] | undefined;
}

export class UpstreamTlsContext {
  readonly #tls: UpstreamTls;
  readonly #clock: Clock;
  readonly #material: MaterialSource;
  readonly #checkNames: NameCheck;
  #onChange: (() => void) | undefined = undefined;

  constructor(tls: UpstreamTls, secrets: SecretStore, clock: Clock) {
    this.#tls = tls;
    this.#clock = clock;
    this.#material = new MaterialSource(tls, secrets, {}, () => this.#onChange?.());
    this.#checkNames = compileNameCheck(tls.validation?.subjectAltNames ?? []);
  }

  /** Grows when our certificate or the bundle changes: connections of an older one should be retired. */
  get generation(): number {
    return this.#material.generation;
  }

  /** Called after a secret changed. */
  set onChange(listener: (() => void) | undefined) {
    this.#onChange = listener;
  }

  dispose(): void {
    this.#material.dispose();
  }

  /** Keep one per pool: it holds the session to resume. */
  forTarget(target: TlsTarget): ClientTls {
    const { expectedIdentity } = target;
    const checks = expectedIdentity === undefined ? this.#checkNames : requireIdentity(expectedIdentity);
    const tls = this.#tls;
    const sni = tls.sni === "" && tls.autoHostSni ? (target.hostname ?? "") : tls.sni;
    return new TargetTls(this.#material, this.#clock, tls, target.alpn ?? tls.alpn, sni, checks);
  }
}

class TargetTls implements ClientTls {
  readonly #material: MaterialSource;
  readonly #clock: Clock;
  readonly #tls: UpstreamTls;
  readonly #alpn: readonly string[];
  readonly #sni: string;
  readonly #checkNames: NameCheck;
  #session: Buffer | undefined = undefined;
  readonly #known = new KnownCertificates();
  /** Whose session it is: checked again when it is resumed. */
  #certificate: X509Certificate | undefined = undefined;
  #sessionGeneration = -1;

  constructor(
    material: MaterialSource,
    clock: Clock,
    tls: UpstreamTls,
    alpn: readonly string[],
    sni: string,
    checkNames: NameCheck,
  ) {
    this.#material = material;
    this.#clock = clock;
    this.#tls = tls;
    this.#alpn = alpn;
    this.#sni = sni;
    this.#checkNames = checkNames;
  }

  connectOptions(): ConnectionOptions {
    const { context } = this.#material.get(this.#clock.wallMs());
    const session = this.#sessionGeneration === this.#material.generation ? this.#session : undefined;
    // TLS 1.3 tickets are used once (RFC 8446 §C.4).
    this.#session = undefined;
    return {
      secureContext: context,
      // What is wrong is looked at, and said, in `verify`.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(this.#alpn.length === 0 ? {} : { ALPNProtocols: [...this.#alpn] }),
      ...(this.#sni === "" || isIP(this.#sni) !== 0 ? {} : { servername: this.#sni }),
      ...(session === undefined ? {} : { session }),
    };
  }

  verify(socket: TLSSocket): WireTls | WireError {
    const wallMs = this.#clock.wallMs();
    const verdict = checkPeer(socket, {
      resumedCertificate: this.#certificate,
      validation: this.#tls.validation,
      isCertificateRequired: true,
      checkNames: this.#checkNames,
      localIdentity: this.#material.get(wallMs).localIdentity,
      sni: this.#sni,
      wallMs,
      known: this.#known,
    });
    if (!("kind" in verdict)) this.#certificate = verdict.peerCertificate;
    return verdict;
  }

  saveSession(session: Buffer): void {
    this.#session = session;
    this.#sessionGeneration = this.#material.generation;
  }
}
