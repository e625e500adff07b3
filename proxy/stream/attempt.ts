// One attempt to get an answer from one endpoint: the upstream half of an exchange.
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Attempt, AttemptFailure, AttemptOutcome } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { tryParseRetryAfterMs } from "#lib/http/retry-after.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { Care, OpenTicket, OpenWaiter, PickedEndpoint, UpstreamConnectionInfo } from "#proxy/upstream/contract.ts";
import { removeMeshFields } from "./edge.ts";

/** What the exchange hears of its current attempt. */
export interface AttemptOwner {
  /** The stream was lost with its connection before any answer: whether the same attempt begins again on a new one. */
  mayResend(attempt: UpstreamAttempt, error: StreamError): boolean;
  onAttemptReady(attempt: UpstreamAttempt, stream: HttpStream): void;
  onAttemptHead(attempt: UpstreamAttempt, head: HeaderBlock, end: boolean): void;
  onAttemptInformational(head: HeaderBlock): void;
  onAttemptData(attempt: UpstreamAttempt, bytes: Buffer, start: number, end: number, last: boolean): void;
  onAttemptTrailers(trailers: HeaderBlock): void;
  onAttemptDrain(): void;
  /** Before a response head came. */
  onAttemptFailed(attempt: UpstreamAttempt, reason: AttemptFailure, detail: string, isUnprocessed: boolean): void;
  /** After it. */
  onAttemptBroken(attempt: UpstreamAttempt, error: StreamError): void;
}

const CANCELLED: StreamError = makeStreamError("user", "stream", H2_ERROR.CANCEL, "the request was given up");

export class UpstreamAttempt implements Attempt, StreamHandler, OpenWaiter {
  readonly number: number;
  readonly startMs: number;
  endMs = 0;
  endpoint: Endpoint | undefined;
  outcome: AttemptOutcome | undefined = undefined;
  connection: UpstreamConnectionInfo | undefined = undefined;
  stream: HttpStream | undefined = undefined;
  /** What losing the connection would do to the request. */
  care: Care;
  /** Its connection had carried other requests before. */
  isReused = false;
  /** It was sent again, on a new connection. */
  isResent = false;
  /** ... though the first server may have processed it, as an idempotent request may be. */
  mayHaveRun = false;
  /** 103, 100 or another interim answer came. */
  hasInformational = false;
  /** The response, or the end of it. */
  hasHead = false;
  isOver = false;
  readonly #owner: AttemptOwner;
  readonly #picked: PickedEndpoint;
  #protocol: "http1" | "http2" = "http1";
  #ticket: OpenTicket | undefined = undefined;
  #isReported = false;

  constructor(owner: AttemptOwner, number: number, startMs: number, picked: PickedEndpoint, care: Care) {
    this.#owner = owner;
    this.care = care;
    this.number = number;
    this.startMs = startMs;
    this.#picked = picked;
    this.endpoint = picked.endpoint;
  }

  /** Certainly no application has seen the request. */
  get wentNowhere(): boolean {
    const { outcome } = this;
    if (this.mayHaveRun) return false;
    if (outcome?.kind === "response") return outcome.isUnprocessed === true;
    return outcome?.isUnprocessed === true && outcome.reason !== "unsayable";
  }

  /** Asks for a stream; the owner hears `onAttemptReady` or `onAttemptFailed`, perhaps before this returns. */
  start(downstreamProtocol: "http1" | "http2"): void {
    this.#protocol = downstreamProtocol;
    const ticket = this.#picked.open(downstreamProtocol, this, this);
    if (this.stream === undefined && !this.isOver) this.#ticket = ticket;
  }

  /** Opaque bytes instead of a request. */
  startTunnel(authority: string): void {
    const ticket = this.#picked.openTunnel(authority, this, this);
    if (this.stream === undefined && !this.isOver) this.#ticket = ticket;
  }

  onReady(stream: HttpStream, connection: UpstreamConnectionInfo, isReused: boolean): void {
    this.#ticket = undefined;
    this.stream = stream;
    this.isReused = isReused;
    this.connection = connection;
    this.#owner.onAttemptReady(this, stream);
  }

  onFailure(reason: AttemptFailure, detail: string): void {
    this.#ticket = undefined;
    if (this.isOver) return;
    this.#owner.onAttemptFailed(this, reason, detail, true);
  }

  onHead(head: HeaderBlock, end: boolean): void {
    if (this.isOver) return;
    this.hasHead = true;
    // Before anybody reads it: what a stranger says in the mesh's name is said by nobody.
    if (this.endpoint?.mesh.kind !== "peer") removeMeshFields(head);
    if (this.#picked.wantsLoadReports === true) this.#picked.reportLoad?.(head);
    this.#owner.onAttemptHead(this, head, end);
  }

  onInformational(head: HeaderBlock): void {
    if (this.isOver) return;
    this.hasInformational = true;
    this.#owner.onAttemptInformational(head);
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.isOver) this.stream?.consumed(end - start);
    else this.#owner.onAttemptData(this, bytes, start, end, last);
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.isOver) return;
    if (this.endpoint?.mesh.kind !== "peer") removeMeshFields(trailers);
    if (this.#picked.wantsLoadReports === true) this.#picked.reportLoad?.(trailers);
    this.#owner.onAttemptTrailers(trailers);
  }

  onReset(error: StreamError): void {
    if (this.isOver) return;
    if (this.hasHead) this.#owner.onAttemptBroken(this, error);
    else if (this.#owner.mayResend(this, error)) this.#resend(!error.isUnprocessed);
    else this.#owner.onAttemptFailed(this, failureOf(error), error.message, error.isUnprocessed);
  }

  #resend(mayHaveRun: boolean): void {
    this.isResent = true;
    this.mayHaveRun = mayHaveRun;
    this.care = "fresh";
    this.stream = undefined;
    this.start(this.#protocol);
  }

  onDrain(): void {
    if (!this.isOver) this.#owner.onAttemptDrain();
  }

  /** Tells the balancer how it went; once, when the head came or the attempt failed. */
  report(outcome: AttemptOutcome, nowMs: number, clock: Clock): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.endMs = nowMs;
    if (this.#isReported) return;
    this.#isReported = true;
    const latencyMs = nowMs - this.startMs;
    if (outcome.kind === "response") {
      this.#picked.report({
        kind: "response",
        status: outcome.status,
        grpcStatus: outcome.grpcStatus,
        latencyMs,
        retryAfterMs: outcome.status === 429 || outcome.status === 503 ? retryAfterMs(outcome.head, clock) : 0,
      });
    } else {
      this.#picked.report({ kind: "failure", reason: outcome.reason, latencyMs });
    }
  }

  /** It took longer than it may, and goes on: the balancer hears of that, and of nothing more. */
  reportTimeout(nowMs: number): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#picked.report({ kind: "failure", reason: "per-try-timeout", latencyMs: nowMs - this.startMs });
  }

  /** Another attempt answered first. */
  giveUp(nowMs: number): void {
    if (this.isOver) return;
    this.endMs = nowMs;
    if (!this.#isReported) this.#picked.report({ kind: "cancelled", latencyMs: nowMs - this.startMs });
    this.#isReported = true;
    this.finish(true);
  }

  /** Ends the attempt; a stream that still runs is reset. */
  finish(reset: boolean, error: StreamError = CANCELLED): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#ticket?.cancel();
    this.#ticket = undefined;
    if (reset) this.stream?.reset(error);
    this.#picked.done();
  }
}

function retryAfterMs(head: HeaderBlock, clock: Clock): number {
  const value = head.get("retry-after");
  return value === undefined ? 0 : (tryParseRetryAfterMs(value, clock.wallMs()) ?? 0);
}

/** What we say of an upstream that does not keep to its protocol (Envoy: `protocol_error`, 502). */
const BROKEN_PROTOCOL: ReadonlySet<number> = new Set([
  H2_ERROR.PROTOCOL_ERROR,
  H2_ERROR.FLOW_CONTROL_ERROR,
  H2_ERROR.FRAME_SIZE_ERROR,
  H2_ERROR.STREAM_CLOSED,
  H2_ERROR.COMPRESSION_ERROR,
  H2_ERROR.SETTINGS_TIMEOUT,
  // Floods, and heads above our limits.
  H2_ERROR.ENHANCE_YOUR_CALM,
]);

function failureOf(error: StreamError): AttemptFailure {
  if (error.code === H2_ERROR.REFUSED_STREAM) return "refused-stream";
  if (error.origin === "user" && error.status === 400) return "unsayable";
  if (error.origin === "us" && BROKEN_PROTOCOL.has(error.code)) return "protocol";
  return error.isUnprocessed ? "reset-before-request" : "reset";
}
