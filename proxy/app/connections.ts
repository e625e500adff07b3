// The downstream connections of one worker by listener, and how they come to their end.
import type { Clock } from "#lib/clock.ts";

/** Where a connection is in the table; the table's own. Begins with -1. */
interface Placed {
  place: number;
}

/** An HTTP connection ends by itself after `drain`; an opaque session only by its peers, or by `abort`. */
export type Connection =
  | (Placed & { readonly kind: "http"; readonly listener: string; isIdle(): boolean; drain(): void })
  | (Placed & { readonly kind: "tcp"; readonly listener: string; abort(reason: string): void });

export class Connections {
  readonly #clock: Clock;
  /**
   * No `Set`: V8's leaves tables behind in which young collections find all that was ever in them, so that connections which
   * come and go outlive them.
   */
  readonly #all: Connection[] = [];
  #waiters: (() => void)[] = [];
  #isDraining = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#all.length === 0;
  }

  /** Of one kind. */
  count(kind: Connection["kind"]): number {
    let count = 0;
    for (const connection of this.#all) if (connection.kind === kind) count++;
    return count;
  }

  /** One that comes while all are draining is served and drained. */
  add(connection: Connection): void {
    connection.place = this.#all.length;
    this.#all.push(connection);
    if (this.#isDraining && connection.kind === "http") connection.drain();
  }

  delete(connection: Connection): void {
    const { place } = connection;
    if (place < 0) return;
    connection.place = -1;
    const last = this.#all.pop();
    if (last !== undefined && last !== connection) {
      last.place = place;
      this.#all[place] = last;
    }
    if (this.#all.length > 0) return;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** Those of one listener: HTTP ends gracefully and is never cut, opaque sessions have until `timeoutMs`. */
  drainListener(listener: string, timeoutMs: number): void {
    const sessions: Connection[] = [];
    for (const connection of this.#all.slice()) {
      if (connection.listener !== listener) continue;
      if (connection.kind === "http") connection.drain();
      else sessions.push(connection);
    }
    if (sessions.length === 0) return;
    this.#clock.setTimer(timeoutMs, () => {
      for (const connection of sessions)
        if (connection.kind === "tcp" && connection.place >= 0) connection.abort("the listener was removed");
    });
  }

  /** All of them, and all that still come. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#all.slice()) if (connection.kind === "http") connection.drain();
  }

  /** Resolves when there is no connection, at the latest after `timeoutMs`. */
  whenEmpty(timeoutMs: number): Promise<void> {
    if (this.#all.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(timeoutMs, resolve);
      this.#waiters.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** HTTP connections on which nothing runs; answers how many. */
  closeIdle(): number {
    let closed = 0;
    for (const connection of this.#all.slice()) {
      if (connection.kind !== "http" || !connection.isIdle()) continue;
      connection.drain();
      closed++;
    }
    return closed;
  }
}
