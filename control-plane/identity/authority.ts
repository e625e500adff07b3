// The mesh's certificate authority: its root in the state folder, or an intermediate that was given; signs leaves.
import { createPrivateKey, X509Certificate } from "node:crypto";
import path from "node:path";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import {
  makeServerLeaf,
  parseSigningRequest,
  signWorkloadLeaf,
  type Issuer,
  type SigningRequest,
  type Validity,
} from "./certificates.ts";
import { writePrivateFile } from "./private-file.ts";
import { Roots } from "./roots.ts";
import { IdentityError, parseSpiffeId } from "./spiffe-id.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Clocks of proxies may be behind ours (contracts.md). */
const BACKDATE_MS = 5 * MINUTE_MS;
/** How often it is looked whether the next step of a rotation is due. */
const LOOK_MS = MINUTE_MS;

export interface AuthorityOptions {
  /** Holds `ca/root.pem`, `ca/root-key.pem` (0600; roots.ts tells of the others) and `roots.pem` (to be pinned by proxies). */
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly clock: Clock;
  /** Life of leaves; 24 h by default. */
  readonly leafLifeMs?: number;
  /** An issuer of the user's own instead of our root; `rootsPem` is what proxies trust. */
  readonly issuer?: GivenIssuer;
}

interface GivenIssuer extends Issuer {
  readonly rootsPem: string;
}

export interface SignedCertificate {
  readonly chainPem: string;
  readonly bundlePem: string;
  readonly notAfterMs: number;
}

export class CertificateAuthority {
  readonly trustDomain: string;
  readonly #stateDir: string;
  readonly #bundle: WatchedValue<string>;
  /** undefined: under an issuer of the user's own, who replaces it. */
  readonly #roots: Roots | undefined;
  #issuer: Issuer;
  #timer: Timer | undefined;
  /** What follows a leaf in its chain: nothing under our own root. */
  readonly #intermediatesPem: string;
  readonly #clock: Clock;
  readonly #leafLifeMs: number;

  private constructor(options: AuthorityOptions, issuer: Issuer, rootsPem: string, roots: Roots | undefined) {
    this.trustDomain = options.trustDomain;
    this.#stateDir = options.stateDir;
    this.#bundle = new WatchedValue(rootsPem);
    this.#roots = roots;
    this.#issuer = issuer;
    this.#intermediatesPem = options.issuer === undefined ? "" : endWithNewline(issuer.certificatePem);
    this.#clock = options.clock;
    this.#leafLifeMs = options.leafLifeMs ?? DAY_MS;
  }

  /**
   * Reads the root of the state folder, or makes one there, and writes `roots.pem`.
   * @throws {IdentityError} when what is there cannot be used: a root is never replaced silently.
   */
  static async open(options: AuthorityOptions): Promise<CertificateAuthority> {
    const nowMs = options.clock.wallMs();
    const given = options.issuer;
    const roots = given === undefined ? await Roots.open(options.stateDir, options.trustDomain, nowMs) : undefined;
    const issuer = given ?? roots?.signer;
    if (issuer === undefined) throw new IdentityError("There is no root to sign with");
    checkIssuer(issuer, nowMs);
    const rootsPem = endWithNewline(given?.rootsPem ?? roots?.bundlePem ?? "");
    writePrivateFile(path.join(options.stateDir, "roots.pem"), rootsPem, 0o644);
    return new CertificateAuthority(options, issuer, rootsPem, roots);
  }

  /** All roots that proxies trust, PEM. It changes when a root is announced, and when an old one is dropped. */
  get bundle(): Watched<string> {
    return this.#bundle;
  }

  get bundlePem(): string {
    return this.#bundle.current;
  }

  /** Takes the steps of root rotations when they are due, until `close`. */
  watchRotation(log: Log): void {
    if (this.#roots === undefined) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(LOOK_MS, () => {
      this.advance(log).catch((error: unknown) => log.error("root not rotated", { error }));
      this.watchRotation(log);
    });
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** Takes the next step of a rotation if it is due. The new root is in every bundle long before it signs. */
  async advance(log: Log): Promise<void> {
    const roots = this.#roots;
    if (roots === undefined || !(await roots.advance(this.#clock.wallMs(), this.#leafLifeMs))) return;
    const issuer = roots.signer;
    checkIssuer(issuer, this.#clock.wallMs());
    writePrivateFile(path.join(this.#stateDir, "roots.pem"), roots.bundlePem, 0o644);
    log.info("root rotation", { phase: roots.phase, signer: new X509Certificate(issuer.certificatePem).subject });
    this.#issuer = issuer;
    this.#bundle.set(roots.bundlePem);
  }

  /**
   * Signs a checked request for an identity that its sender has proven.
   * @throws {IdentityError} when the request asks for another name, or the identity is of another trust domain.
   */
  async signWorkload(request: SigningRequest, spiffeId: string): Promise<SignedCertificate> {
    const id = parseSpiffeId(spiffeId);
    if (id.trustDomain !== this.trustDomain) {
      throw new IdentityError(`${spiffeId} is not of the trust domain ${this.trustDomain}`);
    }
    const other = request.uris.find((uri) => uri !== spiffeId);
    if (other !== undefined) throw new IdentityError(`The signing request asks for ${other}, but may have ${spiffeId}`);
    const validity = this.#validity();
    const leafPem = await signWorkloadLeaf(this.#issuer, request.publicKey, spiffeId, validity);
    return this.#signed(leafPem, validity);
  }

  /** Reads, checks and signs a request in one go. */
  async signWorkloadPem(csrPem: string, spiffeId: string): Promise<SignedCertificate> {
    return this.signWorkload(await parseSigningRequest(csrPem), spiffeId);
  }

  /** A fresh key and certificate for the control plane's own servers. */
  async makeServerCertificate(
    dnsNames: readonly string[],
    ipAddresses: readonly string[],
  ): Promise<SignedCertificate & { readonly keyPem: string }> {
    const validity = this.#validity();
    const leaf = await makeServerLeaf(this.#issuer, dnsNames, ipAddresses, validity);
    return { ...this.#signed(leaf.certificatePem, validity), keyPem: leaf.keyPem };
  }

  #signed(leafPem: string, validity: Validity): SignedCertificate {
    const chainPem = endWithNewline(leafPem) + this.#intermediatesPem;
    return { chainPem, bundlePem: this.bundlePem, notAfterMs: validity.notAfterMs };
  }

  /** A leaf never outlives its issuer. */
  #validity(): Validity {
    const nowMs = this.#clock.wallMs();
    const issuerEndMs = new X509Certificate(this.#issuer.certificatePem).validToDate.getTime();
    const endMs = Math.min(nowMs + this.#leafLifeMs, issuerEndMs);
    return { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: Math.floor(endMs / 1000) * 1000 };
  }
}

function checkIssuer(issuer: Issuer, nowMs: number): void {
  let certificate: X509Certificate;
  let isPair: boolean;
  try {
    certificate = new X509Certificate(issuer.certificatePem);
    isPair = certificate.checkPrivateKey(createPrivateKey(issuer.keyPem));
  } catch (error) {
    throw new IdentityError(`Cannot read the authority's certificate and key: ${describeError(error)}`, {
      cause: error,
    });
  }
  if (!isPair) throw new IdentityError("The authority's key is not the one of its certificate");
  if (!certificate.ca) throw new IdentityError("The authority's certificate may not sign others (CA is not set)");
  if (certificate.validToDate.getTime() <= nowMs) {
    throw new IdentityError(`The authority's certificate ended at ${certificate.validToDate.toISOString()}`);
  }
}

function endWithNewline(pem: string): string {
  return pem.endsWith("\n") ? pem : `${pem}\n`;
}
