// Join tokens: a secret that lets its bearer have one certificate of one identity, once, for a while.
//
// Each token is a file named for its SHA-256, so that whoever reads the folder cannot join. `heddle token` writes one while the
// control plane runs; redeeming renames the file, which the file system lets exactly one of several contenders do.
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import type { Clock } from "#lib/clock.ts";
import { ensurePrivateFolder, writePrivateFile } from "./private-file.ts";
import { IdentityError, parseSpiffeId } from "./spiffe-id.ts";

const DEFAULT_LIFE_MS = 3_600_000;
const MAX_LIFE_MS = 30 * 24 * 3_600_000;
/** Within this time the key that used a token may use it again. */
const REPEAT_MS = 60_000;
/** How long a used or expired token's file stays, to say what became of it. */
const KEEP_MS = 24 * 3_600_000;
const FORM = /^hdl_[A-Za-z0-9_-]{43}$/;

interface TokenRecord {
  readonly spiffeId: string;
  readonly expiresAtMs: number;
}

/**
 * A token that was found good; `use` takes it for one public key (DER), and answers false for any other key. The same key may
 * use it again within a minute: its answer may have been lost, and what it gets is of no use to anybody else.
 */
export interface JoinTokenClaim {
  readonly spiffeId: string;
  use(publicKey: ArrayBuffer): boolean;
}

/** Beside the record of a used token: by which key, and when. */
interface Use extends TokenRecord {
  readonly keyHash: string;
  readonly usedAtMs: number;
}

export class JoinTokenStore {
  readonly #folder: string;
  readonly #clock: Clock;

  /** Keeps its files in `stateDir/tokens`. */
  constructor(stateDir: string, clock: Clock) {
    this.#folder = path.join(stateDir, "tokens");
    this.#clock = clock;
  }

  /** Makes a token for one identity; only its hash is kept. `lifeMs` 1 h by default, at most 30 days. */
  issueToken(spiffeId: string, lifeMs: number = DEFAULT_LIFE_MS): string {
    parseSpiffeId(spiffeId);
    if (!(lifeMs > 0 && lifeMs <= MAX_LIFE_MS)) {
      throw new IdentityError(`A join token's life must be above 0 and at most 30 days: got ${lifeMs} ms`);
    }
    this.#sweep();
    const token = `hdl_${randomBytes(32).toString("base64url")}`;
    const record: TokenRecord = { spiffeId, expiresAtMs: this.#clock.wallMs() + lifeMs };
    writePrivateFile(this.#file(token), JSON.stringify(record));
    return token;
  }

  /** True for text that looks like a join token, good or not. */
  isToken(text: string): boolean {
    return FORM.test(text);
  }

  /** @throws {IdentityError} for a token that is unknown, used or expired. */
  claim(token: string): JoinTokenClaim {
    if (!this.isToken(token)) throw new IdentityError("The join token is not one: it must be hdl_ and 43 characters");
    const file = this.#file(token);
    const record = tryReadRecord(file) ?? this.#tryReadUse(file);
    if (record === undefined) {
      throw new IdentityError(
        existsSync(`${file}.used`) ? "The join token was used before" : "The join token is unknown",
      );
    }
    if (this.#clock.wallMs() >= record.expiresAtMs) {
      throw new IdentityError(`The join token expired at ${new Date(record.expiresAtMs).toISOString()}`);
    }
    return { spiffeId: record.spiffeId, use: (publicKey) => this.#use(file, record, hashOf(publicKey)) };
  }

  #use(file: string, record: TokenRecord, keyHash: string): boolean {
    // Who renames the file has used the token; the others see by whose key.
    if (!tryRename(file, `${file}.used`)) return this.#tryReadUse(file)?.keyHash === keyHash;
    const { spiffeId, expiresAtMs } = record;
    const use: Use = { spiffeId, expiresAtMs, keyHash, usedAtMs: this.#clock.wallMs() };
    writePrivateFile(`${file}.used`, JSON.stringify(use));
    return true;
  }

  /** The use of a token that may still be repeated. */
  #tryReadUse(file: string): Use | undefined {
    const record = tryReadRecord(`${file}.used`);
    if (record === undefined || !("keyHash" in record) || !("usedAtMs" in record)) return undefined;
    const { keyHash, usedAtMs } = record;
    if (typeof keyHash !== "string" || typeof usedAtMs !== "number") return undefined;
    const ageMs = this.#clock.wallMs() - usedAtMs;
    return ageMs >= 0 && ageMs < REPEAT_MS ? { ...record, keyHash, usedAtMs } : undefined;
  }

  #file(token: string): string {
    return path.join(this.#folder, createHash("sha256").update(token).digest("hex"));
  }

  /** Forgets tokens that ended long ago, used or not. */
  #sweep(): void {
    ensurePrivateFolder(this.#folder);
    for (const name of readdirSync(this.#folder)) {
      const file = path.join(this.#folder, name);
      const record = tryReadRecord(file);
      if (record !== undefined && this.#clock.wallMs() > record.expiresAtMs + KEEP_MS) rmSync(file, { force: true });
    }
  }
}

function tryReadRecord(file: string): TokenRecord | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("spiffeId" in value) || !("expiresAtMs" in value)) {
    return undefined;
  }
  const { spiffeId, expiresAtMs } = value;
  return typeof spiffeId === "string" && typeof expiresAtMs === "number"
    ? { ...value, spiffeId, expiresAtMs }
    : undefined;
}

function hashOf(publicKey: ArrayBuffer): string {
  return createHash("sha256").update(new Uint8Array(publicKey)).digest("hex");
}

function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}
