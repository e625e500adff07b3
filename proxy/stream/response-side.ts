// The way back: the response's head, body and trailers through the filters to the client, and the answers that the mesh makes
// itself.
import { formatAddress } from "#config/model/address.ts";
import { ANSWERED, PAUSE, type BodyTransform, type Diversion } from "#filters/filter.ts";
import { isInsideMesh } from "#filters/local-client.ts";
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { formatHttpDate } from "#lib/http/http-date.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import { BodyTransforms, NO_BYTES } from "./body-transforms.ts";
import { leaveResponse } from "./edge.ts";
import type { HttpExchange } from "./exchange.ts";
import { callResponseData, callResponseHead, callResponseTrailers } from "./hooks.ts";
import { renderReply, type RenderedReply } from "./local-reply.ts";
import { packOrigProto } from "./orig-proto.ts";
import { replyHeadTooLarge } from "./replies.ts";
import { ResponsePacer, type PacedSink } from "./response-pacer.ts";
import { mutateResponse } from "./rewrite.ts";

const DONE: StreamError = makeStreamError("us", "stream", H2_ERROR.NO_ERROR, "the answer is complete");

export class ResponseSide implements PacedSink {
  /** Everything, end included, was handed to the client's stream. */
  isSent = false;
  isHeadSent = false;
  /** The answer is our own. */
  #isLocal = false;
  /** A filter gave another answer in place of what came. */
  #substitute: RenderedReply | undefined = undefined;
  #isSubstituted = false;
  /** The first filter that sees an answer: those before it saw the one that this is in the place of. */
  #from = 0;
  /** ... and the exchange's local reply. */
  #isReplied = false;
  readonly #exchange: HttpExchange;
  /** Undefined unless a filter changes the body. */
  #transforms: BodyTransforms | undefined = undefined;
  /** Undefined unless a filter holds the body to a rate. */
  #pacer: ResponsePacer | undefined = undefined;
  /** The head that waits for them. */
  #heldHead: HeaderBlock | undefined = undefined;
  /** Bytes that the client took beyond its high-water mark: the upstream gets credit for them when it drains. */
  #heldCredit = 0;

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
  }

  /** The head waits for the body, and another answer may still be given. */
  get isHeadHeld(): boolean {
    return this.#heldHead !== undefined;
  }

  transform(step: BodyTransform): void {
    this.#transforms ??= new BodyTransforms(this.#exchange);
    this.#transforms.add(step);
  }

  get clock(): Clock {
    return this.#exchange.service.clock;
  }

  get isOver(): boolean {
    return this.#exchange.isOver;
  }

  pace(bytesPerSecond: number): void {
    this.#pacer = new ResponsePacer(this, bytesPerSecond);
  }

  sendPaced(
    attempt: UpstreamAttempt | undefined,
    credit: number,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void {
    this.#exchange.timers.touch();
    this.#deliverData(attempt, credit, bytes, start, end, last);
  }

  sendPacedTrailers(trailers: HeaderBlock): void {
    this.#exchange.downstream.sendTrailers(trailers);
    this.#onComplete();
  }

  /** An answer's head is there. */
  begin(head: HeaderBlock, end: boolean): void {
    this.runHead(this.#from, head, end);
  }

  /** Runs the filters from the given one on, then sends the head. */
  runHead(from: number, head: HeaderBlock, end: boolean): void {
    const exchange = this.#exchange;
    exchange.response = head;
    const { diversion } = exchange;
    const hooks = exchange.service.chain.onResponseHead;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = callResponseHead(exchange, filter, head, end);
      if (this.#substitute !== undefined) {
        this.#sendSubstitute(i + 1, this.#substitute);
        return;
      }
      if (exchange.diversion !== diversion) {
        this.#startOver(i, exchange.diversion);
        return;
      }
      if (verdict === ANSWERED && !this.#isLocal && exchange.localReply !== undefined) {
        exchange.sendLocalReply();
        return;
      }
      if (verdict !== PAUSE) continue;
      head.detach();
      const pausing = exchange.pause("response-head", i);
      pausing.head = head;
      pausing.isHeadEnd = end;
      return;
    }
    if (exchange.keepsForAnother) {
      exchange.keepsForAnother = false;
      exchange.body.stopReplay();
    }
    if (this.#transforms === undefined) this.#sendHead(head, end);
    else this.#beginTransformed(this.#transforms, head, end);
  }

  onData(attempt: UpstreamAttempt, bytes: Buffer, start: number, end: number, last: boolean): void {
    const exchange = this.#exchange;
    if (this.#isHeld()) {
      exchange.pausing?.keep(bytes, start, end, last);
      return;
    }
    const hooks = exchange.service.chain.onResponseData;
    for (let i = 0; i < hooks.length && !exchange.isTunnel; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = callResponseData(exchange, filter, bytes, start, end, last);
      if (verdict === PAUSE) exchange.pause("response-data", i);
      else if (verdict === ANSWERED) {
        exchange.sendLocalReply();
        return;
      }
    }
    if (this.#isHeld()) exchange.pausing?.keep(bytes, start, end, last);
    else this.#passData(attempt, bytes, start, end, last);
  }

  onTrailers(trailers: HeaderBlock): void {
    const exchange = this.#exchange;
    if (exchange.pausing?.holdsResponse === true) {
      trailers.detach();
      exchange.pausing.trailers = trailers;
      return;
    }
    const hooks = exchange.service.chain.onResponseTrailers;
    for (let i = 0; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined || callResponseTrailers(exchange, filter, trailers) !== ANSWERED) continue;
      exchange.sendLocalReply();
      return;
    }
    const grpcStatus = exchange.isGrpc ? trailers.get("grpc-status") : undefined;
    if (grpcStatus !== undefined) exchange.grpcStatus = Number(grpcStatus);
    if (this.#transforms !== undefined && !this.#endTransformed(this.#transforms, trailers)) return;
    if (this.#pacer === undefined) this.sendPacedTrailers(trailers);
    else {
      exchange.timers.endAnswer();
      this.#pacer.sendTrailers(trailers);
    }
  }

  /** The client took what was above its mark. */
  onDrain(attempt: UpstreamAttempt | undefined): void {
    const held = this.#heldCredit;
    this.#heldCredit = 0;
    if (held > 0) attempt?.stream?.consumed(held);
  }

  /** Sends what waited behind a pause. */
  release(attempt: UpstreamAttempt | undefined): void {
    const exchange = this.#exchange;
    const { pausing } = exchange;
    if (pausing === undefined) return;
    for (const { bytes, last } of pausing.takeChunks()) {
      if (exchange.isOver) return;
      this.#passData(this.#isLocal ? undefined : attempt, bytes, 0, bytes.length, last);
    }
    const { trailers } = pausing;
    pausing.trailers = undefined;
    if (trailers !== undefined && !exchange.isOver) this.onTrailers(trailers);
  }

  /** Sends the exchange's local reply; when an answer has begun already, the stream is reset instead. */
  sendLocalReply(): void {
    const exchange = this.#exchange;
    const reply = exchange.localReply;
    if (reply === undefined) return;
    // The second: a filter could not change this very reply.
    if (this.isHeadSent || this.#isReplied) {
      exchange.downstream.reset(makeStreamError("us", "stream", H2_ERROR.INTERNAL_ERROR, reply.detail));
      exchange.finish(DONE);
      return;
    }
    this.#isReplied = true;
    const endpoint = exchange.attempts.at(-1)?.endpoint;
    const { head, body } = renderReply(reply, {
      requestId: exchange.requestId,
      isGrpc: exchange.wantsGrpc,
      isHead: exchange.request.get(":method") === "HEAD",
      proxyName: exchange.service.proxyName,
      isTrusted: isInsideMesh(exchange.connection),
      endpoint: endpoint === undefined ? undefined : formatAddress(endpoint),
    });
    this.sendWhole(head, body);
  }

  /** Sends a complete answer that no upstream gave. */
  sendWhole(head: HeaderBlock, body: Buffer): void {
    const exchange = this.#exchange;
    this.#isLocal = true;
    this.#transforms = undefined;
    this.#heldHead = undefined;
    mutateResponse(exchange, head);
    this.begin(head, body.length === 0);
    if (body.length === 0 || exchange.isOver || this.#isSubstituted || !this.#isLocal) return;
    if (this.#isHeld()) exchange.pausing?.keep(body, 0, body.length, true);
    else this.#passData(undefined, body, 0, body.length, true);
  }

  /** For `Exchange.substitute`. */
  substitute(head: HeaderBlock, body: Buffer): void {
    this.#substitute = { head, body };
  }

  /** The upstream, where it still answers, is not heard any more; the filters from the given one on see the new head. */
  #sendSubstitute(from: number, { head, body }: RenderedReply): void {
    const exchange = this.#exchange;
    this.#substitute = undefined;
    this.#isSubstituted = true;
    this.#isLocal = true;
    this.#transforms = undefined;
    exchange.timers.endTry();
    exchange.loop.finish(true);
    mutateResponse(exchange, head);
    this.runHead(from, head, body.length === 0);
    if (body.length === 0 || exchange.isOver) return;
    if (this.#isHeld()) exchange.pausing?.keep(body, 0, body.length, true);
    else this.#passData(undefined, body, 0, body.length, true);
  }

  /** The answer that came goes nowhere; that of the other cluster begins with the filter that asked for it. */
  #startOver(from: number, diversion: Diversion | undefined): void {
    this.#from = from;
    this.#isLocal = false;
    this.#isReplied = false;
    this.#transforms = undefined;
    this.#pacer = undefined;
    if (diversion !== undefined) this.#exchange.startOver(diversion);
  }

  #isHeld(): boolean {
    return this.#exchange.pausing?.holdsResponse === true;
  }

  /** False: the client does not take it, and has been told so. */
  #sendHead(head: HeaderBlock, end: boolean): boolean {
    const exchange = this.#exchange;
    exchange.status = Number(head.get(":status") ?? "0");
    if (exchange.isGrpc) {
      const grpcStatus = head.get("grpc-status");
      if (grpcStatus !== undefined) exchange.grpcStatus = Number(grpcStatus);
    }
    leaveResponse(head, exchange.connection, exchange.service.config);
    // RFC 9110 §6.6.1: who passes on an answer without a date says when it came.
    if (!head.has("date")) head.add("date", formatHttpDate(exchange.service.clock.wallMs()));
    if (exchange.connection.peerIdentity !== undefined && head.hasRawNames) packOrigProto(head);
    const limitBytes = this.#isReplied ? undefined : exchange.downstream.exceededLimit?.(head);
    if (limitBytes !== undefined) {
      exchange.answer(replyHeadTooLarge(limitBytes));
      return false;
    }
    exchange.responseHeadMs = exchange.service.clock.nowMs();
    this.isHeadSent = true;
    exchange.downstream.sendHead(head, end);
    if (end) this.#onComplete();
    else head.detach();
    return true;
  }

  /** `attempt`: whose bytes they are, to be credited; undefined = ours. */
  #passData(attempt: UpstreamAttempt | undefined, bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#transforms === undefined) this.#sendData(attempt, end - start, bytes, start, end, last);
    else this.#transformData(this.#transforms, attempt, bytes, start, end, last);
  }

  /** `credit`: how many bytes of the attempt these are, or were made of. */
  #sendData(
    attempt: UpstreamAttempt | undefined,
    credit: number,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void {
    if (this.#pacer === undefined) this.#deliverData(attempt, credit, bytes, start, end, last);
    else {
      if (last) this.#exchange.timers.endAnswer();
      this.#pacer.send(attempt, credit, bytes, start, end, last);
    }
  }

  #deliverData(
    attempt: UpstreamAttempt | undefined,
    credit: number,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void {
    this.#exchange.responseBytes += end - start;
    const hasRoom = this.#exchange.downstream.sendData(bytes, start, end, last);
    if (credit > 0 && attempt !== undefined) {
      if (hasRoom) attempt.stream?.consumed(credit);
      else this.#heldCredit += credit;
    }
    if (last) this.#onComplete();
  }

  #beginTransformed(transforms: BodyTransforms, head: HeaderBlock, end: boolean): void {
    if (!end && !transforms.holdsHead) {
      this.#sendHead(head, false);
      return;
    }
    head.detach();
    this.#heldHead = head;
    if (end) this.#transformData(transforms, undefined, NO_BYTES, 0, 0, true);
  }

  #transformData(
    transforms: BodyTransforms,
    attempt: UpstreamAttempt | undefined,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const made = transforms.data(bytes, start, end, last);
    const size = end - start;
    if (made === undefined) this.#exchange.sendLocalReply();
    else if (made.length > 0 || last) {
      this.#sendMade(made, last, attempt, size);
      return;
    }
    if (size > 0) attempt?.stream?.consumed(size);
  }

  /** True: trailers are left to be sent. */
  #endTransformed(transforms: BodyTransforms, trailers: HeaderBlock): boolean {
    const made = transforms.trailers(trailers);
    const last = trailers.length === 0;
    if (made === undefined) this.#exchange.sendLocalReply();
    else if (made.length > 0 || last || this.#heldHead !== undefined) this.#sendMade(made, last, undefined, 0);
    return made !== undefined && !last && !this.#exchange.isOver;
  }

  /** What filters made of a body, behind the head that waited for it. */
  #sendMade(made: Buffer, last: boolean, attempt: UpstreamAttempt | undefined, credit: number): void {
    const head = this.#heldHead;
    this.#heldHead = undefined;
    const isEmpty = made.length === 0;
    if (head !== undefined && isEmpty && last && credit > 0) attempt?.stream?.consumed(credit);
    if (head !== undefined && !this.#sendHead(head, isEmpty && last)) return;
    if (!isEmpty || (last && head === undefined)) this.#sendData(attempt, credit, made, 0, made.length, last);
  }

  #onComplete(): void {
    const exchange = this.#exchange;
    const { body } = exchange;
    this.isSent = true;
    if (exchange.isTunnel && !body.isSent) return;
    if (!body.isComplete) exchange.downstream.reset(DONE);
    exchange.finish(body.isComplete && body.isSent ? undefined : DONE);
  }
}
