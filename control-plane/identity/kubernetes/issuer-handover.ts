// An issuer that others replace at once, without telling peers first: its new root is made known before it signs, and the old
// root stays trusted as long as what it signed lives.
//
//   steady --another root--> announced (old signs, both trusted) --60 s--> switched (new signs, both) --life of a leaf--> steady
import type { Clock, Timer } from "#lib/clock.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import { backdateMs } from "../authority.ts";
import { joinBundles, type IssuerMaterial } from "../issuer.ts";

/** Connected proxies have a new bundle within seconds; those that come later get it before they are called. */
const ANNOUNCE_MS = 60_000;

export interface HandoverOptions {
  readonly clock: Clock;
  readonly leafLifeMs: number;
  /** False: whoever keeps the issuer does all this in the bundle (our own rotation), and is followed at once. */
  readonly isGradual: boolean;
}

export class IssuerHandover {
  readonly #options: HandoverOptions;
  readonly #material: WatchedValue<IssuerMaterial>;
  #given: IssuerMaterial;
  /** Roots that are trusted beyond the given bundle, until when. */
  #kept = "";
  #announcement: Timer | undefined;
  #retention: Timer | undefined;

  constructor(first: IssuerMaterial, options: HandoverOptions) {
    this.#options = options;
    this.#given = first;
    this.#material = new WatchedValue(first);
  }

  /** What is in force. */
  get material(): Watched<IssuerMaterial> {
    return this.#material;
  }

  take(next: IssuerMaterial): void {
    const current = this.#material.current;
    const before = this.#given;
    this.#given = next;
    if (!this.#options.isGradual || next.bundlePem === before.bundlePem) {
      if (this.#announcement === undefined) this.#publish();
      return;
    }
    const { clock, leafLifeMs } = this.#options;
    this.#kept = joinBundles(this.#kept, before.bundlePem);
    this.#retention?.cancel();
    this.#retention = clock.setTimer(ANNOUNCE_MS + leafLifeMs + backdateMs, () => {
      this.#kept = "";
      this.#publish();
    });
    this.#announcement?.cancel();
    this.#announcement = clock.setTimer(ANNOUNCE_MS, () => {
      this.#announcement = undefined;
      this.#publish();
    });
    this.#material.set({ ...current, bundlePem: joinBundles(next.bundlePem, this.#kept) });
  }

  close(): void {
    this.#announcement?.cancel();
    this.#retention?.cancel();
  }

  #publish(): void {
    const bundlePem = joinBundles(this.#given.bundlePem, this.#kept);
    this.#material.set({ ...this.#given, bundlePem });
  }
}
