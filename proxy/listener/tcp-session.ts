// Opaque bytes between a downstream connection and an endpoint, with back-pressure and half-close in both directions. The upstream
// is dialled at once, so that a server that speaks first is heard; where the protocol is not known yet, before the session begins.
//
//   speculate -> start | discard        or at once: start
//   start -> (bytes, half-closes both ways) -> over
import type { TcpProxy } from "#config/model/listener.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { AttemptFailure, ResponseFlag } from "#filters/filter.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { writeBytes } from "#lib/http/outbox.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type {
  OpenTicket,
  OpenWaiter,
  PickedEndpoint,
  PickFailure,
  UpstreamConnectionInfo,
} from "#proxy/upstream/contract.ts";
import type { Wire, WireError, WireHandler } from "#proxy/wire/wire.ts";

import type { SpeculationOwner } from "./detection.ts";
import { speaksHttp } from "./detect.ts";

export interface TcpSessionParts {
  readonly clock: Clock;
  readonly config: TcpProxy;
  /** Chooses an endpoint for each connect attempt: another than those that failed, if there is one. */
  readonly pick: (avoid: readonly Endpoint[]) => PickedEndpoint | PickFailure | "no-cluster";
  /** Where the bytes go, as a mesh peer is told. */
  readonly authority: string;
  readonly onDone: (session: TcpSession) => void;
}

/** Envoy's flag of each way in which a connection upstream is not had. */
const FLAGS: Readonly<Record<AttemptFailure, ResponseFlag>> = {
  "connect-failure": "UF",
  "connect-timeout": "UF",
  "refused-stream": "UF",
  reset: "UF",
  "reset-before-request": "UF",
  protocol: "UF",
  unsayable: "UF",
  "per-try-timeout": "UF",
  "no-healthy-endpoint": "UH",
  overflow: "UO",
  tls: "UF",
};
const NOTHING = Buffer.alloc(0);
/** Nothing went wrong: an endpoint sees FIN and no reset, a mesh peer counts no failure. */
const UNUSED = makeStreamError("user", "stream", H2_ERROR.NO_ERROR, "the connection was not needed");
/** Bytes that wait for the upstream connection; then reading stops. */
const EARLY_BYTES = 65_536;
const HIGH_WATER = 262_144;

export class TcpSession implements WireHandler, StreamHandler, OpenWaiter {
  readonly wire: Wire;
  readonly startMs: number;
  bytesIn = 0;
  bytesOut = 0;
  /** Undefined after a clean end. */
  failure: string | undefined = undefined;
  /** Envoy's flags of what went wrong. */
  flags: readonly ResponseFlag[] = [];
  /** The endpoint that was tried last. */
  endpoint: Endpoint | undefined = undefined;
  /** Undefined while there is no connection upstream. */
  upstream: UpstreamConnectionInfo | undefined = undefined;
  attempts = 0;
  picked: PickedEndpoint | undefined = undefined;
  isOver = false;
  readonly #parts: TcpSessionParts;
  #stream: HttpStream | undefined = undefined;
  #ticket: OpenTicket | undefined = undefined;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #hasEarlyEnd = false;
  #heldCredit = 0;
  #isDownEnded = false;
  #isUpEnded = false;
  #lastActivityMs: number;
  #idleTimer: Timer | undefined;
  /** While it is not known whether this connection is opaque: the wire is somebody else's. */
  #speculation: SpeculationOwner | undefined = undefined;
  #isDialled = false;
  #failed: Endpoint[] = [];

  constructor(wire: Wire, parts: TcpSessionParts) {
    this.wire = wire;
    this.#parts = parts;
    this.startMs = parts.clock.nowMs();
    this.#lastActivityMs = this.startMs;
  }

  start(firstBytes: Buffer): void {
    this.#speculation = undefined;
    this.#lastActivityMs = this.#parts.clock.nowMs();
    if (firstBytes.length > 0) this.onBytes(firstBytes, 0, firstBytes.length);
    this.#armIdle();
    this.wire.attach(this);
    if (this.#stream !== undefined && this.#stream.bufferedBytes >= HIGH_WATER) this.wire.setReading(false);
    if (!this.#isDialled) this.#connect();
  }

  /** Dials without touching the wire. Nothing is recorded before `start`. */
  speculate(owner: SpeculationOwner): void {
    this.#speculation = owner;
    this.#connect();
  }

  /** Instead of `start`: closes what `speculate` opened, on which nothing was sent. */
  discard(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#speculation = undefined;
    this.#ticket?.cancel();
    this.#stream?.reset(UNUSED);
    this.picked?.done();
  }

  /** Ends at once in both directions. */
  abort(reason: string): void {
    this.#fail(reason, ["LR"]);
  }

  // ---- downstream

  onBytes(bytes: Buffer, start: number, end: number): void {
    this.bytesIn += end - start;
    this.#lastActivityMs = this.#parts.clock.nowMs();
    const stream = this.#stream;
    if (stream !== undefined) {
      if (!stream.sendData(bytes, start, end, false)) this.wire.setReading(false);
      return;
    }
    this.#early.push(Buffer.from(bytes.subarray(start, end)));
    this.#earlyBytes += end - start;
    if (this.#earlyBytes >= EARLY_BYTES) this.wire.setReading(false);
  }

  onEnd(): void {
    this.#isDownEnded = true;
    if (this.#stream === undefined) this.#hasEarlyEnd = true;
    else this.#stream.sendData(NOTHING, 0, 0, true);
    this.#endIfBoth();
  }

  onClose(error: WireError | undefined): void {
    if (this.isOver) return;
    if (error === undefined && this.#isDownEnded && this.#isUpEnded) this.#finish(undefined);
    else this.#fail(error?.message ?? "the client closed", ["DC"]);
  }

  // ---- upstream

  onReady(stream: HttpStream, connection: UpstreamConnectionInfo): void {
    this.#ticket = undefined;
    this.#stream = stream;
    this.upstream = connection;
    this.picked?.report({
      kind: "response",
      status: 200,
      grpcStatus: undefined,
      latencyMs: this.#parts.clock.nowMs() - this.startMs,
      retryAfterMs: 0,
    });
    const early = this.#early.splice(0);
    let hasRoom = true;
    for (const bytes of early) hasRoom = stream.sendData(bytes, 0, bytes.length, false);
    if (this.#hasEarlyEnd) stream.sendData(NOTHING, 0, 0, true);
    if (this.#speculation === undefined) this.wire.setReading(hasRoom);
  }

  onFailure(reason: AttemptFailure, detail: string): void {
    this.#ticket = undefined;
    this.picked?.report({ kind: "failure", reason, latencyMs: this.#parts.clock.nowMs() - this.startMs });
    this.picked?.done();
    this.picked = undefined;
    if (this.endpoint !== undefined) this.#failed.push(this.endpoint);
    const limit = Math.max(1, this.#parts.config.maxConnectAttempts);
    if (this.attempts < limit) this.#connect();
    else if (this.#speculation !== undefined) this.#speculationFailed();
    else this.#fail(`${reason}: ${detail}`, limit > 1 ? [FLAGS[reason], "URX"] : [FLAGS[reason]]);
  }

  onHead(): void {
    // A tunnel has no heads.
  }

  onInformational(): void {
    // Nor these.
  }

  onTrailers(): void {
    this.onData(NOTHING, 0, 0, true);
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    const size = end - start;
    if (this.#speculation !== undefined && !this.#claim(bytes, start, end)) return;
    this.bytesOut += size;
    this.#lastActivityMs = this.#parts.clock.nowMs();
    if (size > 0) {
      writeBytes(this.wire.out, bytes, start, end);
      if (this.wire.out.pendingBytes > HIGH_WATER) this.#heldCredit += size;
      else this.#stream?.consumed(size);
    }
    if (!last) return;
    this.#isUpEnded = true;
    this.wire.end();
    this.#endIfBoth();
  }

  /** Of the socket (WireHandler) and of the stream (StreamHandler): whoever drained, both ways are tried. */
  onDrain(): void {
    const held = this.#heldCredit;
    if (held > 0 && this.wire.out.pendingBytes <= HIGH_WATER) {
      this.#heldCredit = 0;
      this.#stream?.consumed(held);
    }
    if (this.#stream !== undefined && this.#stream.bufferedBytes < HIGH_WATER) this.wire.setReading(true);
  }

  onReset(error: StreamError): void {
    this.#stream = undefined;
    if (this.#speculation !== undefined) {
      this.#speculationFailed();
      return;
    }
    this.#fail(`the upstream broke off: ${error.message}`, ["UC"]);
  }

  /** The server is the first to say something, or to end: false where that does not make the connection opaque. */
  #claim(bytes: Buffer, start: number, end: number): boolean {
    if (speaksHttp(bytes, start, end)) this.#speculation?.onServerSpeaksHttp();
    else this.#speculation?.onServerSpoke();
    return !this.isOver;
  }

  /** The session may still be started: it dials again then. */
  #speculationFailed(): void {
    this.#isDialled = false;
    this.attempts = 0;
    this.picked?.done();
    this.picked = undefined;
    this.#speculation?.onUnreachable();
  }

  #connect(): void {
    this.#isDialled = true;
    this.attempts++;
    const picked = this.#parts.pick(this.#failed);
    if (typeof picked === "string") {
      if (this.#speculation !== undefined) {
        this.#speculationFailed();
        return;
      }
      this.#fail(`${picked} in cluster "${this.#parts.authority}"`, [picked === "no-cluster" ? "NC" : "UH"]);
      return;
    }
    this.picked = picked;
    this.endpoint = picked.endpoint;
    const ticket = picked.openTunnel(this.#parts.authority, this, this);
    if (this.#stream === undefined && !this.isOver) this.#ticket = ticket;
  }

  #armIdle(): void {
    const limit = this.#parts.config.idleTimeoutMs;
    if (limit <= 0) return;
    const rest = this.#lastActivityMs + limit - this.#parts.clock.nowMs();
    this.#idleTimer = this.#parts.clock.setTimer(Math.max(rest, 10), () => {
      if (this.#parts.clock.nowMs() - this.#lastActivityMs >= limit) this.#fail("idle timeout", ["SI"]);
      else this.#armIdle();
    });
  }

  #endIfBoth(): void {
    if (this.#isDownEnded && this.#isUpEnded) this.#finish(undefined);
  }

  #fail(reason: string, flags: readonly ResponseFlag[]): void {
    if (this.isOver) return;
    this.flags = flags;
    this.#ticket?.cancel();
    this.#stream?.reset(makeStreamError("user", "stream", H2_ERROR.CANCEL, reason));
    this.#finish(reason);
    this.wire.destroy({ kind: "aborted", message: reason, code: "" });
  }

  #finish(reason: string | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.failure = reason;
    this.#idleTimer?.cancel();
    this.picked?.done();
    this.#parts.onDone(this);
  }
}
