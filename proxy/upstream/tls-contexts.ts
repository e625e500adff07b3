// TLS towards endpoints: one context per configuration, one client with its sessions per target.
import type { UpstreamTls } from "#config/model/tls.ts";
import type { Clock } from "#lib/clock.ts";
import type { SecretStore } from "#proxy/tls/secret-store.ts";
import { UpstreamTlsContext } from "#proxy/tls/upstream-context.ts";
import type { ClientTls } from "#proxy/wire/connect.ts";
import type { ConnectTarget } from "./connector.ts";

/** Contexts kept; each is one TLS configuration, so that thousands mean configurations that are gone. */
const MAX_CONTEXTS = 1024;

export class UpstreamTlsContexts {
  readonly #secrets: SecretStore;
  readonly #clock: Clock;
  readonly #onChange: (secrets: ReadonlySet<string>) => void;
  /** By the configuration's text: equal ones come again as other objects. The longest unused is dropped. */
  readonly #contexts = new Map<string, UpstreamTlsContext>();
  /** Sessions to resume are a pool's own, and a pool keeps its target. */
  readonly #clients = new WeakMap<ConnectTarget, ClientTls>();

  /** `onChange` is told which secrets have new contents. */
  constructor(secrets: SecretStore, clock: Clock, onChange: (secrets: ReadonlySet<string>) => void = () => undefined) {
    this.#secrets = secrets;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Undefined for a target without TLS. */
  forTarget(target: ConnectTarget): ClientTls | undefined {
    const { tls, expectedIdentity, hostname } = target;
    if (tls === undefined) return undefined;
    const known = this.#clients.get(target);
    if (known !== undefined) return known;
    const made = this.#context(tls).forTarget({ expectedIdentity, hostname, alpn: alpnOf(target, tls) });
    this.#clients.set(target, made);
    return made;
  }

  /** Stops watching secrets. */
  close(): void {
    for (const context of this.#contexts.values()) context.dispose();
    this.#contexts.clear();
  }

  #context(tls: UpstreamTls): UpstreamTlsContext {
    const key = JSON.stringify(tls);
    const known = this.#contexts.get(key);
    const context = known ?? this.#makeContext(tls);
    // To the end of the line of those that may be dropped.
    this.#contexts.delete(key);
    this.#contexts.set(key, context);
    if (this.#contexts.size > MAX_CONTEXTS) {
      for (const [oldest, unused] of this.#contexts) {
        this.#contexts.delete(oldest);
        unused.dispose();
        break;
      }
    }
    return context;
  }

  #makeContext(tls: UpstreamTls): UpstreamTlsContext {
    const context = new UpstreamTlsContext(tls, this.#secrets, this.#clock);
    const names = new Set<string>();
    if (tls.certificate?.kind === "sds") names.add(tls.certificate.name);
    if (tls.validation?.roots.kind === "sds") names.add(tls.validation.roots.name);
    context.onChange = () => this.#onChange(names);
    return context;
  }
}

const ALPN_OF: Readonly<Record<ConnectTarget["protocol"], readonly string[]>> = {
  http1: ["http/1.1"],
  http2: ["h2"],
  auto: ["h2", "http/1.1"],
  raw: [],
};

function alpnOf(target: ConnectTarget, tls: UpstreamTls): readonly string[] {
  if (target.expectedIdentity !== undefined) return ["h2"];
  if (tls.alpn.length > 0) return tls.alpn;
  return ALPN_OF[target.protocol];
}
