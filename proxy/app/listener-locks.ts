// The locks on listener addresses while several threads share them: with SO_REUSEPORT the kernel would not refuse a second process.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { formatAddress } from "#config/model/address.ts";
import type { Listener } from "#config/model/listener.ts";
import { describeError } from "#lib/errors.ts";
import { lockAddress, type AddressLock } from "#proxy/listener/address-lock.ts";
import type { ApplyFailure } from "#proxy/worker/protocol.ts";

/**
 * One folder for all processes of a user, whatever their state folders are: the kernel shares a port only among processes of the
 * same user, so no others can take part.
 */
export function defaultLockFolder(): string {
  const user = process.getuid?.() ?? 0;
  return path.join(os.tmpdir(), `heddle-locks-${user}`);
}

export class ListenerLocks {
  readonly #folder: string;
  readonly #held = new Map<string, AddressLock>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes what these listeners need; answers those whose address another process has. */
  take(listeners: Iterable<Listener>): readonly ApplyFailure[] {
    const failures: ApplyFailure[] = [];
    for (const { name, address, bindToPort } of listeners) {
      const key = formatAddress(address);
      if (!bindToPort || address.port === 0 || this.#held.has(key)) continue;
      try {
        checkOwner(this.#folder);
        this.#held.set(key, lockAddress(this.#folder, address));
      } catch (error) {
        const message = `Cannot open listener "${name}": ${describeError(error)}`;
        failures.push({ type: "listener", name, message });
      }
    }
    return failures;
  }

  /** Gives back what none of these listeners needs. */
  keep(listeners: Iterable<Listener>): void {
    const needed = new Set([...listeners].map(({ address }) => formatAddress(address)));
    for (const [key, lock] of this.#held) {
      if (needed.has(key)) continue;
      lock.release();
      this.#held.delete(key);
    }
  }
}

/** A folder that somebody else made before us under a name that anybody can guess must not be trusted. */
function checkOwner(folder: string): void {
  const found = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined || process.getuid === undefined) return;
  if (!found.isDirectory() || found.uid !== process.getuid())
    throw new Error(`the lock folder ${folder} belongs to somebody else`);
}
