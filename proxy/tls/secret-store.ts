// Where certificates and bundles come from by name: files, SDS or the proxy's own identity put them in, TLS contexts watch.
import type { Secret } from "#config/model/tls.ts";

export interface SecretStore {
  /** The current value; undefined = not there yet (or no more). */
  get(name: string): Secret | undefined;
  /** Calls on each change, not at once, until the returned function is called. */
  subscribe(name: string, listener: () => void): () => void;
}

/** An equal value is no change. */
export class MemorySecretStore implements SecretStore {
  readonly #secrets = new Map<string, Secret>();
  readonly #listeners = new Map<string, Set<() => void>>();

  get(name: string): Secret | undefined {
    return this.#secrets.get(name);
  }

  set(secret: Secret): void {
    const known = this.#secrets.get(secret.name);
    if (known !== undefined && isEqual(known, secret)) return;
    this.#secrets.set(secret.name, secret);
    this.#notify(secret.name);
  }

  delete(name: string): void {
    if (this.#secrets.delete(name)) this.#notify(name);
  }

  subscribe(name: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(name);
    };
  }

  #notify(name: string): void {
    for (const listener of this.#listeners.get(name) ?? []) listener();
  }
}

function isEqual(left: Secret, right: Secret): boolean {
  if (left.kind === "validation") return right.kind === "validation" && left.bundlePem === right.bundlePem;
  if (right.kind !== "certificate") return false;
  const { chainPem, keyPem } = left.certificate;
  return chainPem === right.certificate.chainPem && keyPem === right.certificate.keyPem;
}
