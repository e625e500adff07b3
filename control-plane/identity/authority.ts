// The mesh's certificate authority: its root in the state folder, or an intermediate that was given; signs leaves.
import { X509Certificate } from "node:crypto";
import path from "node:path";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import {
  makeServerLeaf,
  parseSigningRequest,
  signWorkloadLeaf,
  type SigningRequest,
  type Validity,
} from "./certificates.ts";
import { parseIssuer, type IssuerMaterial } from "./issuer.ts";
import { isPodBinding, toSubject, type PodBinding } from "./pod-binding.ts";
import { writePrivateFile } from "./private-file.ts";
import { Roots } from "./roots.ts";
import { IdentityError, parseSpiffeId } from "./spiffe-id.ts";

export const defaultLeafLifeMs = 24 * 3_600_000;
/** Clocks of proxies may be behind ours (contracts.md). */
export const backdateMs = 300_000;
/** How often it is looked whether the next step of a rotation is due. */
const LOOK_MS = 60_000;

interface AuthoritySettings {
  readonly trustDomain: string;
  readonly clock: Clock;
  /** Life of leaves; 24 h by default. */
  readonly leafLifeMs?: number;
}

export interface AuthorityOptions extends AuthoritySettings {
  /** Holds `ca/root.pem`, `ca/root-key.pem` (0600; roots.ts tells of the others) and `roots.pem` (to be pinned by proxies). */
  readonly stateDir: string;
}

export interface SignedCertificate {
  readonly chainPem: string;
  readonly bundlePem: string;
  readonly notAfterMs: number;
}

export class CertificateAuthority {
  readonly trustDomain: string;
  readonly #bundle: WatchedValue<string>;
  readonly #clock: Clock;
  readonly #leafLifeMs: number;
  /** Our own roots and their folder; undefined: the issuer is kept elsewhere. */
  readonly #own: { readonly roots: Roots; readonly stateDir: string } | undefined;
  #material: IssuerMaterial;
  #timer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;

  private constructor(
    options: AuthoritySettings,
    material: IssuerMaterial,
    own?: { readonly roots: Roots; readonly stateDir: string },
  ) {
    this.trustDomain = options.trustDomain;
    this.#bundle = new WatchedValue(material.bundlePem);
    this.#clock = options.clock;
    this.#leafLifeMs = options.leafLifeMs ?? defaultLeafLifeMs;
    this.#own = own;
    this.#material = material;
  }

  /**
   * Reads the root of the state folder, or makes one there, and writes `roots.pem`.
   * @throws {IdentityError} when what is there cannot be used: a root is never replaced silently.
   */
  static async open(options: AuthorityOptions): Promise<CertificateAuthority> {
    const { stateDir, trustDomain, clock } = options;
    const roots = await Roots.open(stateDir, trustDomain, clock.wallMs());
    const material = readRoots(roots, clock.wallMs());
    writePrivateFile(path.join(stateDir, "roots.pem"), material.bundlePem, 0o644);
    return new CertificateAuthority(options, material, { roots, stateDir });
  }

  /** Signs with an issuer that others keep and replace; each replacement was checked by `parseIssuer`. */
  static over(material: Watched<IssuerMaterial>, options: AuthoritySettings): CertificateAuthority {
    const authority = new CertificateAuthority(options, material.current);
    authority.#unsubscribe = material.subscribe((next) => authority.#take(next));
    return authority;
  }

  /** When the first of the certificates that leaves depend on ends, Unix time. */
  get notAfterMs(): number {
    return this.#material.notAfterMs;
  }

  /** All roots that proxies trust, PEM. It changes when a root is announced, and when an old one is dropped. */
  get bundle(): Watched<string> {
    return this.#bundle;
  }

  get bundlePem(): string {
    return this.#bundle.current;
  }

  /** Takes the steps of our own roots' rotations when they are due, until `close`. */
  watchRotation(log: Log): void {
    if (this.#own === undefined) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(LOOK_MS, () => {
      this.advance(log).catch((error: unknown) => log.error("root not rotated", { error }));
      this.watchRotation(log);
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#unsubscribe?.();
  }

  /** Takes the next step of a rotation if it is due. The new root is in every bundle long before it signs. */
  async advance(log: Log): Promise<void> {
    if (this.#own === undefined) return;
    const { roots, stateDir } = this.#own;
    if (!(await roots.advance(this.#clock.wallMs(), this.#leafLifeMs))) return;
    const material = readRoots(roots, this.#clock.wallMs());
    writePrivateFile(path.join(stateDir, "roots.pem"), material.bundlePem, 0o644);
    const { subject } = new X509Certificate(material.issuer.certificatePem);
    log.info("root rotation", { phase: roots.phase, signer: subject });
    this.#take(material);
  }

  /**
   * Signs a checked request for an identity that its sender has proven, bound to the pod that it is of.
   * @throws {IdentityError} when the request asks for another name, or the identity is of another trust domain.
   */
  async signWorkload(request: SigningRequest, spiffeId: string, pod?: PodBinding): Promise<SignedCertificate> {
    const id = parseSpiffeId(spiffeId);
    if (id.trustDomain !== this.trustDomain) {
      throw new IdentityError(`${spiffeId} is not of the trust domain ${this.trustDomain}`);
    }
    const other = request.uris.find((uri) => uri !== spiffeId);
    if (other !== undefined) throw new IdentityError(`The signing request asks for ${other}, but may have ${spiffeId}`);
    if (pod !== undefined && !isPodBinding(pod)) throw new IdentityError(`"${pod.name}" cannot be the name of a pod`);
    // One issuer for all of it: another may be taken while this one signs.
    const material = this.#material;
    const validity = this.#validity();
    const subject = pod === undefined ? [] : toSubject(pod);
    const leafPem = await signWorkloadLeaf(material.issuer, request.publicKey, spiffeId, validity, subject);
    return signed(material, leafPem, validity);
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
    const material = this.#material;
    const validity = this.#validity();
    const leaf = await makeServerLeaf(material.issuer, dnsNames, ipAddresses, validity);
    return { ...signed(material, leaf.certificatePem, validity), keyPem: leaf.keyPem };
  }

  #take(material: IssuerMaterial): void {
    this.#material = material;
    this.#bundle.set(material.bundlePem);
  }

  /** A leaf never outlives those that it depends on. */
  #validity(): Validity {
    const nowMs = this.#clock.wallMs();
    const endMs = Math.min(nowMs + this.#leafLifeMs, this.#material.notAfterMs);
    return { notBeforeMs: nowMs - backdateMs, notAfterMs: Math.floor(endMs / 1000) * 1000 };
  }
}

function readRoots(roots: Roots, nowMs: number): IssuerMaterial {
  const { certificatePem, keyPem } = roots.signer;
  return parseIssuer({ chainPem: certificatePem, keyPem, rootsPem: roots.bundlePem }, nowMs);
}

function signed(
  { intermediatesPem, bundlePem }: IssuerMaterial,
  leafPem: string,
  validity: Validity,
): SignedCertificate {
  const chainPem = `${leafPem.trimEnd()}\n${intermediatesPem}`;
  return { chainPem, bundlePem, notAfterMs: validity.notAfterMs };
}
