// What both dialogues of ADS, delta and state of the world, are to the stream that carries them.
import type { ResourceKind } from "#config/xds/type-urls.ts";
import type { Clock } from "#lib/clock.ts";
import type { Snapshot } from "./encoded-resource.ts";
import type { Rejections } from "./rejections.ts";

/**
 * One dialogue, without a socket. The stream asks for the `next` response when it can write one, so a slow proxy holds one
 * snapshot, the newest, and nothing is queued for it.
 */
export interface Session<Request, Response> {
  /** Takes what the proxy says. */
  receive(request: Request): void;
  /** Replaces what the proxy may have. */
  offer(snapshot: Snapshot): void;
  /** The next response to write now; `undefined` when there is nothing to say, or it is not time yet. */
  next(): Response | undefined;
  /** Names of virtual hosts that the proxy asks for on demand. */
  readonly asked: ReadonlySet<string>;
  /** All that is offered was sent and answered. */
  readonly isSettled: boolean;
  readonly kinds: readonly KindStatus[];
}

/** For `/debug/proxies`. */
export interface KindStatus {
  readonly kind: ResourceKind;
  readonly isWildcard: boolean;
  readonly subscribed: number;
  readonly held: number;
  readonly inFlight: number;
  /** Mesh version of the last response that was acknowledged. */
  readonly ackedVersion: string | undefined;
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly rejections: Rejections;
  /** The proxy applies the good ones of a response that it refuses, and names the others: Heddle's own does. */
  readonly appliesGoodSiblings: boolean;
}

/** What a proxy asks for that asks for no virtual host. */
export const NOTHING_ASKED: ReadonlySet<string> = new Set();

/** Nonces count; each session has its own count. */
export class NonceCounter {
  #last = 0;

  next(): string {
    return String(++this.#last);
  }
}
