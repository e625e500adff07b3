// The certificate of the webhooks' HTTPS server, signed by the mesh's own authority: in memory, renewed at half of its life, and
// when the mesh's roots change.
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import type { CertificateAuthority } from "../authority.ts";

const RETRY_MS = 5000;

/** For `https.createServer` and `setSecureContext`. */
export interface ServingCertificate {
  /** The chain, PEM. */
  readonly cert: string;
  readonly key: string;
}

export class WebhookCertificate {
  readonly #authority: CertificateAuthority;
  readonly #names: readonly string[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #value: WatchedValue<ServingCertificate>;
  readonly #unsubscribe: () => void;
  #timer: Timer | undefined;
  #bundle: string;

  private constructor(
    parts: Omit<WebhookCertificateOptions, "names"> & { readonly names: readonly string[] },
    first: Signed,
  ) {
    this.#authority = parts.authority;
    this.#names = parts.names;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#value = new WatchedValue({ cert: first.chainPem, key: first.keyPem });
    this.#bundle = first.bundlePem;
    this.#schedule(first);
    this.#unsubscribe = parts.authority.bundle.subscribe((bundlePem) => {
      if (bundlePem !== this.#bundle) void this.#renew();
    });
  }

  static async open(options: WebhookCertificateOptions): Promise<WebhookCertificate> {
    return new WebhookCertificate(options, await options.authority.makeServerCertificate(options.names, []));
  }

  get value(): Watched<ServingCertificate> {
    return this.#value;
  }

  close(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #schedule({ notAfterMs }: Signed): void {
    this.#wait((notAfterMs - this.#clock.wallMs()) / 2);
  }

  #wait(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    this.#bundle = this.#authority.bundlePem;
    try {
      const next = await this.#authority.makeServerCertificate(this.#names, []);
      this.#value.set({ cert: next.chainPem, key: next.keyPem });
      this.#schedule(next);
    } catch (error) {
      this.#log.error("webhooks' certificate not renewed", { error });
      this.#wait(RETRY_MS);
    }
  }
}

type Signed = Awaited<ReturnType<CertificateAuthority["makeServerCertificate"]>>;

export interface WebhookCertificateOptions {
  readonly authority: CertificateAuthority;
  /** `heddle-control-plane.heddle-system.svc`: what the API server calls it. */
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}
