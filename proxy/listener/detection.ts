// Finds out by the first bytes what a new connection is, without making a server that speaks first wait for a silent client.
//
//   accept -+-> the client speaks: a chain is chosen by its bytes
//           `-> silent for 2 ms: dial where opaque bytes would go -+-> the server speaks: opaque, spliced at once
//                                                                 `-> the client speaks: a chain is chosen; the connection is
//                                                                     used where it is that of the chain, else closed unused
import type { FilterChain } from "#config/model/listener.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { SocketWire } from "#proxy/wire/socket-wire.ts";

import { Peek } from "./peek.ts";
import type { ServerFirstPorts } from "./server-first-ports.ts";

/** A client that has something to say says it at once; contracts.md, "Detection". */
const SILENCE_MS = 2;
/**
 * A silent client whose server cannot be reached is not left waiting for a greeting; one that was only slow to speak HTTP still
 * gets an answer that says why.
 */
const UNREACHABLE_MS = 1000;

/** A connection to the server, made before it is known whether it is wanted. */
export interface Speculation {
  /** It is: `firstBytes` are what the client has said so far. */
  adopt(firstBytes: Buffer): void;
  /** It is not: it is closed unused. */
  discard(): void;
}

/** Told how a speculation goes, until it is adopted or discarded. */
export interface SpeculationOwner {
  /** The server has said something or has ended its side: `adopt` must be called now, and then that is passed on. */
  onServerSpoke(): void;
  /** What the server says is HTTP's, which waits for its client: not a sign of an opaque protocol. */
  onServerSpeaksHttp(): void;
  /** There is no connection, after all attempts. */
  onUnreachable(): void;
}

export interface DetectionParts {
  readonly clock: Clock;
  readonly wire: SocketWire;
  /** The port in `serverFirst`. */
  readonly destination: string;
  readonly serverFirst: ServerFirstPorts;
  /** From accept on, or where a silent client is waited for longer from its first byte on; 0 = no limit. */
  readonly timeoutMs: number;
  /** After that time: go on with the bytes that are there, or refuse. */
  readonly goesOnAfterTimeout: boolean;
  readonly maxBytes: number;
  readonly isEnough: (bytes: Buffer) => boolean;
  /** The chain of a client without TLS that has said nothing. */
  readonly silentChain: () => FilterChain | undefined;
  /** Dials for it; undefined: it is not opaque. */
  readonly speculate: (chain: FilterChain, owner: SpeculationOwner) => Speculation | undefined;
  /** The bytes decide. Whoever takes the connection adopts or discards the speculation. */
  readonly onDecided: (bytes: Buffer, speculated: Speculated | undefined) => void;
  /** The client has said nothing, or not enough; the wire is still open. */
  readonly onTimeout: () => void;
  readonly onGone: () => void;
}

export interface Speculated {
  readonly chain: FilterChain;
  readonly speculation: Speculation;
}

export class Detection implements SpeculationOwner {
  readonly #parts: DetectionParts;
  #peek: Peek;
  #timer: Timer | undefined = undefined;
  #speculated: Speculated | undefined = undefined;
  #isUnreachable = false;
  #isOver = false;
  /** The client has been silent for the whole time limit. */
  #isPatient = false;

  constructor(parts: DetectionParts) {
    this.#parts = parts;
    this.#peek = this.#makePeek(parts.timeoutMs);
  }

  start(): void {
    const { clock, serverFirst, destination } = this.#parts;
    this.#peek.start();
    if (serverFirst.has(destination, clock.nowMs())) {
      this.#speculate();
      return;
    }
    // What lies in the kernel is read before `setImmediate`: a busy turn does not make a client look silent.
    this.#timer = clock.setTimer(SILENCE_MS, () => setImmediate(() => this.#speculate()));
  }

  // ---- from the speculation

  onServerSpoke(): void {
    const { clock, serverFirst, destination } = this.#parts;
    const speculated = this.#speculated;
    if (this.#isOver || speculated === undefined) return;
    if (this.#peek.byteCount === 0) serverFirst.add(destination, clock.nowMs());
    this.#end();
    speculated.speculation.adopt(this.#peek.take());
  }

  onServerSpeaksHttp(): void {
    this.#dropSpeculation();
  }

  onUnreachable(): void {
    this.#isUnreachable = true;
    if (this.#isOver) return;
    this.#timer = this.#parts.clock.setTimer(UNREACHABLE_MS, () => this.#giveUp());
  }

  #speculate(): void {
    if (this.#isOver) return;
    const chain = this.#parts.silentChain();
    if (chain === undefined) return;
    const speculation = this.#parts.speculate(chain, this);
    if (speculation === undefined) return;
    this.#speculated = { chain, speculation };
  }

  /** Adopting a session without a connection tells the client and the logs what a connection of it would have been told. */
  #giveUp(): void {
    const speculated = this.#speculated;
    if (this.#isOver || speculated === undefined || this.#peek.byteCount > 0) return;
    this.#end();
    speculated.speculation.adopt(this.#peek.take());
  }

  // ---- from the client

  #makePeek(timeoutMs: number): Peek {
    const { clock, wire, maxBytes, isEnough, goesOnAfterTimeout } = this.#parts;
    return new Peek(wire, {
      clock,
      timeoutMs,
      moreTimeoutMs: goesOnAfterTimeout ? this.#parts.timeoutMs : 0,
      maxBytes,
      isEnough,
      onDone: (bytes, reason) => this.#onPeeked(bytes, reason),
      onGone: () => {
        this.#end();
        this.#dropSpeculation();
        this.#parts.onGone();
      },
    });
  }

  #onPeeked(bytes: Buffer, reason: "enough" | "timeout" | "end"): void {
    if (this.#isOver) return;
    const { goesOnAfterTimeout, onTimeout, onDecided, silentChain } = this.#parts;
    if (reason === "timeout") {
      const limitMs = goesOnAfterTimeout && bytes.length === 0 && !this.#isPatient ? idleLimitMs(silentChain()) : -1;
      if (limitMs >= 0) {
        // It may say anything yet: only the limit of idle connections ends it.
        this.#isPatient = true;
        this.#peek = this.#makePeek(limitMs);
        this.#peek.start();
        return;
      }
      if (!goesOnAfterTimeout || bytes.length === 0) {
        this.#end();
        this.#dropSpeculation();
        onTimeout();
        return;
      }
    }
    this.#end();
    // Unreachable is said anew by whoever serves the connection.
    if (this.#isUnreachable) this.#dropSpeculation();
    onDecided(bytes, this.#speculated);
  }

  #dropSpeculation(): void {
    this.#speculated?.speculation.discard();
    this.#speculated = undefined;
  }

  #end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }
}

/** How long a connection of the chain may be silent, ms; 0 = for ever, -1 = there is no chain. */
function idleLimitMs(chain: FilterChain | undefined): number {
  if (chain === undefined) return -1;
  return chain.network.kind === "tcp" ? chain.network.tcp.idleTimeoutMs : chain.network.http.idleTimeoutMs;
}
