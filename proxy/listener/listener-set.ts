// All listeners of one worker: opens new ones, changes the running ones in place, closes those that are gone.
import { formatAddress } from "#config/model/address.ts";
import type { Listener } from "#config/model/listener.ts";
import { describeError } from "#lib/errors.ts";

import { HandOver } from "./hand-over.ts";
import { RunningListener, type ListenerParts } from "./listener.ts";

export interface ListenerFailure {
  readonly name: string;
  readonly message: string;
}

export class ListenerSet {
  readonly #parts: ListenerParts;
  readonly #running = new Map<string, RunningListener>();
  readonly #handOver = new HandOver();

  constructor(parts: Omit<ListenerParts, "handOver">) {
    this.#parts = { ...parts, handOver: (destination, direction) => this.#handOver.find(destination, direction) };
  }

  /** Resolves when every socket is open or has failed; a failed change leaves the old listener running. */
  async apply(changed: readonly Listener[], removed: readonly string[]): Promise<readonly ListenerFailure[]> {
    for (const name of removed) {
      this.#handOver.delete(name);
      this.#running.get(name)?.close();
      this.#running.delete(name);
    }
    for (const listener of changed) if (!listener.bindToPort) this.#addUnbound(listener);
    const failures = await Promise.all(
      changed.filter(({ bindToPort }) => bindToPort).map((listener) => this.#applyOne(listener)),
    );
    return failures.filter((failure) => failure !== undefined);
  }

  /** Name and open port of each. */
  ports(): ReadonlyMap<string, number> {
    return new Map([...this.#running].map(([name, listener]) => [name, listener.port]));
  }

  /** Stops accepting everywhere. */
  close(): void {
    for (const listener of this.#running.values()) listener.close();
    this.#running.clear();
  }

  /**
   * Accepts what the kernel holds for us, then stops: a listener closes when nobody came for a while, at the latest after
   * `timeoutMs`. Resolves when all are closed.
   */
  async closeWhenQuiet(timeoutMs: number): Promise<void> {
    const all = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(all.map((listener) => listener.closeWhenQuiet(timeoutMs)));
  }

  #addUnbound(listener: Listener): void {
    this.#running.get(listener.name)?.close();
    this.#running.delete(listener.name);
    this.#handOver.set(listener);
  }

  async #applyOne(listener: Listener): Promise<ListenerFailure | undefined> {
    const known = this.#running.get(listener.name);
    if (known !== undefined && formatAddress(known.config.address) === formatAddress(listener.address)) {
      known.update(listener);
      return undefined;
    }
    const made = new RunningListener(listener, this.#parts);
    try {
      await made.open();
    } catch (error) {
      return { name: listener.name, message: describeError(error) };
    }
    known?.close();
    this.#handOver.delete(listener.name);
    this.#running.set(listener.name, made);
    return undefined;
  }
}
