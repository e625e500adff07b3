// The proxy's identity over time: taken from its state folder or joined with a token, renewed at half life, gone at notAfter.
//
//   none --sign--> held --half life--> renewing --ok--> held
//    ^               ^                    |
//    |               +----- backoff ------+  failed
//    +---- notAfter: fails closed, no grace ----+
import { readFileSync } from "node:fs";
import path from "node:path";
import type { IdentitySettings } from "#config/model/bootstrap.ts";
import { fullJitterMs } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import { makeKeyAndRequest, type KeyAndRequest } from "./certificate-request.ts";
import { hasRootsBeyond, makeMaterial, type IdentityMaterial } from "./material.ts";
import { SigningError, type Sign, type SigningProof } from "./signing-client.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** Without a certificate the pod serves nothing: it is asked for more often than one is renewed. */
const BACKOFF_MAX_WITHOUT_MS = 10_000;
/** The wall clock and the file of roots are looked at this often: a clock may be set, and timers do not count a machine's sleep. */
const LOOK_MS = 60_000;
/** Renewal begins up to this share of the life before its half, so that sidecars started together do not renew together. */
const JITTER_SHARE = 0.05;
/** Shares of life left at which a certificate that should have been renewed is called out. */
const ALARMS = [0.5, 0.25, 0.1];

export interface WorkloadIdentityOptions {
  readonly settings: IdentitySettings;
  /** `undefined`: nothing is kept, a restart needs a token again. */
  readonly stateDir: string | undefined;
  readonly sign: Sign;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What metrics and `heddle status` show. */
export interface IdentityStatus {
  readonly spiffeId: string;
  /** Negative never: a certificate that ended is not held. */
  readonly secondsToExpiry: number | undefined;
  readonly generation: number;
  readonly renewals: number;
  readonly failures: number;
  readonly lastError: string | undefined;
}

export class WorkloadIdentity {
  readonly #options: WorkloadIdentityOptions;
  readonly #material = new WatchedValue<IdentityMaterial | undefined>(undefined);
  #generation = 0;
  #renewAtMs = 0;
  #attempt = 0;
  #renewals = 0;
  #failures = 0;
  #lastError: string | undefined;
  #lastProof: SigningProof["kind"] = "token";
  #isCertificateRefused = false;
  #alarmsRaised = 0;
  #isSigning = false;
  /** Sent, and not yet answered. */
  #request: KeyAndRequest | undefined;
  #rootsFileText: string | undefined;
  #isClosed = false;
  #timer: Timer | undefined;

  /** Takes what the state folder holds; `start` begins to ask for more. */
  constructor(options: WorkloadIdentityOptions) {
    this.#options = options;
    this.#load();
  }

  /** `undefined` before the first certificate and after notAfter: TLS must then fail, never go on without. */
  get material(): Watched<IdentityMaterial | undefined> {
    return this.#material;
  }

  get status(): IdentityStatus {
    const current = this.#material.current;
    const leftMs = current === undefined ? undefined : current.notAfterMs - this.#options.clock.wallMs();
    return {
      spiffeId: this.#options.settings.spiffeId,
      secondsToExpiry: leftMs === undefined ? undefined : Math.max(0, leftMs / 1000),
      generation: this.#generation,
      renewals: this.#renewals,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  start(): void {
    this.#look();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** Takes roots that changed between two signings; those that our own certificate is not under are refused. */
  takeBundle(bundlePem: string): void {
    const current = this.#material.current;
    if (current === undefined || current.bundlePem === bundlePem || this.#isClosed) return;
    const { settings, clock, log } = this.#options;
    const generation = this.#generation + 1;
    try {
      const { certificate } = current;
      const material = makeMaterial(certificate, bundlePem, settings.spiffeId, clock.wallMs(), generation);
      this.#generation = generation;
      this.#material.set(material);
      this.#store();
      log.info("roots of the mesh changed", { ...this.status });
    } catch (error) {
      log.error("changed roots of the mesh refused", { reason: describeError(error), ...this.status });
    }
  }

  /** Does what is due now and sets the timer for what is due next. */
  #look(): void {
    this.#timer?.cancel();
    if (this.#isClosed) return;
    this.#lookAtRootsFile();
    const nowMs = this.#options.clock.wallMs();
    let nextMs = nowMs + LOOK_MS;
    const current = this.#material.current;
    if (current !== undefined && nowMs >= current.notAfterMs) {
      this.#options.log.error("identity ended: mutual TLS fails until it is renewed", { ...this.status });
      this.#material.set(undefined);
    } else if (current !== undefined) {
      nextMs = Math.min(nextMs, current.notAfterMs, this.#raiseAlarms(current, nowMs));
    }
    if (nowMs >= this.#renewAtMs) this.#sign();
    else nextMs = Math.min(nextMs, this.#renewAtMs);
    this.#timer = this.#options.clock.setTimer(nextMs - nowMs, () => this.#look());
  }

  /** Answers when the next alarm is due. */
  #raiseAlarms(current: IdentityMaterial, nowMs: number): number {
    const lifeMs = current.notAfterMs - current.notBeforeMs;
    for (let share = ALARMS[this.#alarmsRaised]; share !== undefined; share = ALARMS[this.#alarmsRaised]) {
      const atMs = current.notAfterMs - lifeMs * share;
      if (nowMs < atMs) return atMs;
      this.#alarmsRaised++;
      const level = share > 0.25 ? "warn" : "error";
      this.#options.log[level]("certificate not renewed in time", { percentLeft: share * 100, ...this.status });
    }
    return current.notAfterMs;
  }

  #sign(): void {
    if (this.#isSigning) return;
    this.#isSigning = true;
    this.#signOnce().then(
      () => this.#onSigned(),
      (error: unknown) => this.#onFailed(error),
    );
  }

  #onSigned(): void {
    this.#isSigning = false;
    this.#attempt = 0;
    this.#isCertificateRefused = false;
    this.#lastError = undefined;
    this.#renewals++;
    this.#look();
  }

  #onFailed(error: unknown): void {
    const { clock, random, log } = this.#options;
    this.#isSigning = false;
    this.#failures++;
    this.#attempt++;
    this.#isCertificateRefused = this.#lastProof === "certificate" && error instanceof SigningError && error.isRefused;
    this.#lastError = describeError(error);
    if (error instanceof SigningError && error.isRefused) this.#request = undefined;
    const maxMs = this.#material.current === undefined ? BACKOFF_MAX_WITHOUT_MS : BACKOFF_MAX_MS;
    const delayMs = BACKOFF_BASE_MS + fullJitterMs(this.#attempt, BACKOFF_BASE_MS, maxMs, random);
    this.#renewAtMs = clock.wallMs() + delayMs;
    log.warn("certificate not signed", { ...this.status, retryInMs: Math.round(delayMs) });
    this.#look();
  }

  async #signOnce(): Promise<void> {
    const { settings, sign, log } = this.#options;
    const proof = this.#chooseProof();
    this.#lastProof = proof.kind;
    // A token is good for one key: the answer to it may get lost, and is asked for again with the same.
    this.#request ??= makeKeyAndRequest(settings.spiffeId);
    const { keyPem, csrPem } = this.#request;
    const answer = await sign({ csrPem, proof, rootsPem: this.#rootsToPin() });
    if (this.#isClosed) return;
    this.#request = undefined;
    this.#take({ keyPem, chainPem: answer.chainPem }, answer.bundlePem);
    this.#store();
    log.info("identity", { ...this.status, proof: proof.kind });
  }

  /** The roots of the last answer; the file's too, since roots may have changed while we were away. */
  #rootsToPin(): string {
    const own = this.#material.current?.bundlePem;
    const { rootsFile } = this.#options.settings;
    try {
      return `${own ?? ""}\n${readFileSync(rootsFile, "utf8")}`;
    } catch (error) {
      if (own !== undefined) return own;
      throw new Error(`Cannot read the roots in ${rootsFile}: ${describeError(error)}`, { cause: error });
    }
  }

  /** Roots that were written to their file since the last look are taken: the control plane may be known by them alone. */
  #lookAtRootsFile(): void {
    const text = tryRead(this.#options.settings.rootsFile);
    if (text === undefined || text === this.#rootsFileText) return;
    const isFirstLook = this.#rootsFileText === undefined;
    this.#rootsFileText = text;
    const stored = this.#material.current?.bundlePem;
    // What was stored before a restart may be older than the file, and newer too.
    if (!isFirstLook) this.takeBundle(text);
    else if (stored !== undefined && hasRootsBeyond(text, stored)) this.takeBundle(`${stored}\n${text}`);
  }

  /**
   * The certificate while it holds, but after a refusal of it once the token, read anew because it may have been replaced; where
   * the token is to be shown, always that.
   */
  #chooseProof(): SigningProof {
    const current = this.#material.current;
    const mayRenewItself = this.#options.settings.renewWith === "certificate";
    if (current !== undefined && mayRenewItself && !this.#isCertificateRefused)
      return { kind: "certificate", certificate: current.certificate };
    const file = this.#options.settings.tokenFile;
    try {
      return { kind: "token", token: readFileSync(file, "utf8").trim() };
    } catch (error) {
      throw new Error(`Cannot read the token in ${file}: ${describeError(error)}`, { cause: error });
    }
  }

  /** @throws when key, chain, bundle and identity do not fit together. */
  #take(certificate: { readonly keyPem: string; readonly chainPem: string }, bundlePem: string): void {
    const { settings, clock, random } = this.#options;
    const generation = this.#generation + 1;
    const material = makeMaterial(certificate, bundlePem, settings.spiffeId, clock.wallMs(), generation);
    const lifeMs = material.notAfterMs - material.notBeforeMs;
    this.#generation = generation;
    this.#renewAtMs = material.notBeforeMs + lifeMs * (0.5 - JITTER_SHARE * random.next());
    this.#alarmsRaised = 0;
    this.#material.set(material);
  }

  #load(): void {
    const file = this.#file;
    if (file === undefined) return;
    const read = readStateFile(file);
    if (read.kind === "absent") return;
    try {
      if (read.kind === "damaged") throw new Error(read.reason);
      const { keyPem, chainPem, bundlePem } = parseStored(read.value);
      this.#take({ keyPem, chainPem }, bundlePem);
    } catch (error) {
      this.#options.log.warn("stored identity ignored", { file, reason: describeError(error) });
    }
  }

  /** A state folder that cannot be written costs the next restart a token, not this process its identity. */
  #store(): void {
    const file = this.#file;
    const current = this.#material.current;
    if (file === undefined || current === undefined) return;
    try {
      writeStateFile(file, { ...current.certificate, bundlePem: current.bundlePem });
    } catch (error) {
      this.#options.log.error("identity not stored", { file, error });
    }
  }

  get #file(): string | undefined {
    const { stateDir } = this.#options;
    return stateDir === undefined ? undefined : path.join(stateDir, "identity.json");
  }
}

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

interface Stored {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly bundlePem: string;
}

function parseStored(value: unknown): Stored {
  if (typeof value !== "object" || value === null) throw new Error("it holds no identity");
  const { keyPem, chainPem, bundlePem } = value as Readonly<Record<string, unknown>>;
  if (typeof keyPem !== "string" || typeof chainPem !== "string" || typeof bundlePem !== "string") {
    throw new Error("it holds no identity");
  }
  return { keyPem, chainPem, bundlePem };
}
