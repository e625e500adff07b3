// The authority's own roots in its state folder, and how one takes over from another.
//
//   steady --asked for, or the root's last year--> announced --overlap--> switched --every old leaf has ended--> steady
//   bundle: old            old + new                    old + new                             new
//   signer: old            old                          new                                   new
import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { X509Certificate } from "node:crypto";
import { makeRoot, type Issuer } from "./certificates.ts";
import { writePrivateFile } from "./private-file.ts";
import { IdentityError } from "./spiffe-id.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const ROOT_LIFE_MS = 3652 * DAY_MS;
const LAST_YEAR_MS = 365 * DAY_MS;
/** Clocks of proxies may be behind ours (contracts.md). */
const BACKDATE_MS = 5 * MINUTE_MS;

type RotationPhase = "steady" | "announced" | "switched";

interface Rotation {
  /** Names of roots in the folder: the one that signs, and all that are trusted, oldest first. */
  readonly signer: string;
  readonly trusted: readonly string[];
  /** Of the last step, Unix time. */
  readonly sinceMs: number;
}

export class Roots {
  readonly #folder: string;
  readonly #trustDomain: string;
  #rotation: Rotation;

  private constructor(folder: string, trustDomain: string, rotation: Rotation) {
    this.#folder = folder;
    this.#trustDomain = trustDomain;
    this.#rotation = rotation;
  }

  /** Reads the roots under `stateDir/ca`, or makes the first. @throws {IdentityError} for a folder that cannot be understood. */
  static async open(stateDir: string, trustDomain: string, nowMs: number): Promise<Roots> {
    const folder = path.join(stateDir, "ca");
    const file = path.join(folder, "rotation.json");
    if (existsSync(file)) return new Roots(folder, trustDomain, parseRotation(readFileSync(file, "utf8"), file));
    const roots = new Roots(folder, trustDomain, { signer: "root", trusted: ["root"], sinceMs: nowMs });
    if (!existsSync(path.join(folder, "root.pem"))) await roots.#make("root", nowMs);
    return roots;
  }

  get signer(): Issuer {
    return this.#read(this.#rotation.signer);
  }

  /** Every trusted root, PEM. */
  get bundlePem(): string {
    return this.#rotation.trusted.map((name) => this.#readCertificate(name)).join("");
  }

  get phase(): RotationPhase {
    const { signer, trusted } = this.#rotation;
    if (trusted.length === 1) return "steady";
    return trusted.at(-1) === signer ? "switched" : "announced";
  }

  /**
   * Takes the next step if it is due: true when one was taken. A rotation begins in the signer's last year, or when there is a
   * file `ca/rotate`. `leafLifeMs` is both the overlap, in which every proxy that lives learns of the new root, and how long
   * what the old one signed may still be in use.
   */
  async advance(nowMs: number, leafLifeMs: number): Promise<boolean> {
    const { signer, trusted, sinceMs } = this.#rotation;
    const isLongEnough = nowMs - sinceMs >= leafLifeMs + BACKDATE_MS;
    switch (this.phase) {
      case "steady": {
        const request = path.join(this.#folder, "rotate");
        const endMs = new X509Certificate(this.#readCertificate(signer)).validToDate.getTime();
        if (!existsSync(request) && endMs - nowMs > LAST_YEAR_MS) return false;
        const next = this.#nextName();
        await this.#make(next, nowMs);
        this.#step({ signer, trusted: [...trusted, next], sinceMs: nowMs });
        rmSync(request, { force: true });
        return true;
      }
      case "announced":
        if (!isLongEnough) return false;
        this.#step({ signer: trusted.at(-1) ?? signer, trusted, sinceMs: nowMs });
        return true;
      case "switched":
        if (!isLongEnough) return false;
        this.#step({ signer, trusted: [signer], sinceMs: nowMs });
        // What nobody trusts must not be stolen either.
        for (const name of trusted) if (name !== signer) rmSync(this.#keyFile(name), { force: true });
        return true;
    }
  }

  #step(rotation: Rotation): void {
    writePrivateFile(path.join(this.#folder, "rotation.json"), JSON.stringify(rotation));
    this.#rotation = rotation;
  }

  #nextName(): string {
    let number = 2;
    while (existsSync(this.#certificateFile(`root-${number}`))) number++;
    return `root-${number}`;
  }

  async #make(name: string, nowMs: number): Promise<void> {
    const validity = { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + ROOT_LIFE_MS };
    const number = name === "root" ? "" : ` ${name.slice("root-".length)}`;
    const root = await makeRoot(`Heddle root${number} of ${this.#trustDomain}`, validity);
    // The key first: a certificate without its key would be a root that nobody can use.
    writePrivateFile(this.#keyFile(name), root.keyPem);
    writePrivateFile(this.#certificateFile(name), `${root.certificatePem.trimEnd()}\n`);
  }

  #read(name: string): Issuer {
    return { certificatePem: this.#readCertificate(name), keyPem: readFileSync(this.#keyFile(name), "utf8") };
  }

  #readCertificate(name: string): string {
    return `${readFileSync(this.#certificateFile(name), "utf8").trimEnd()}\n`;
  }

  #certificateFile(name: string): string {
    return path.join(this.#folder, `${name}.pem`);
  }

  #keyFile(name: string): string {
    return path.join(this.#folder, `${name}-key.pem`);
  }
}

function parseRotation(text: string, file: string): Rotation {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new IdentityError(`Cannot read ${file}: it is no JSON`, { cause: error });
  }
  const { signer, trusted, sinceMs } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isWhole = isName(signer) && Array.isArray(trusted) && trusted.every(isName) && trusted.includes(signer);
  if (!isWhole || typeof sinceMs !== "number") {
    throw new IdentityError(`Cannot understand ${file}: it must name the signer, the trusted roots and a time`);
  }
  return { signer, trusted, sinceMs };
}

function isName(name: unknown): name is string {
  return typeof name === "string" && /^root(?:-\d+)?$/.test(name);
}
