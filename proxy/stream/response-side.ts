// The way back: the response's head, body and trailers through the filters to the client, and the answers that the mesh makes
// itself.
import { formatAddress } from "#config/model/address.ts";
import { ANSWERED, PAUSE } from "#filters/filter.ts";
import { isInsideMesh } from "#filters/local-client.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import { leaveResponse } from "./edge.ts";
import type { HttpExchange } from "./exchange.ts";
import { callResponseData, callResponseHead, callResponseTrailers } from "./hooks.ts";
import { renderReply } from "./local-reply.ts";
import { packOrigProto } from "./orig-proto.ts";
import { mutateResponse } from "./rewrite.ts";

const DONE: StreamError = makeStreamError("us", "stream", H2_ERROR.NO_ERROR, "the answer is complete");

export class ResponseSide {
  /** Everything, end included, was handed to the client's stream. */
  isSent = false;
  isHeadSent = false;
  /** The answer is our own. */
  #isLocal = false;
  readonly #exchange: HttpExchange;
  /** Bytes that the client took beyond its high-water mark: the upstream gets credit for them when it drains. */
  #heldCredit = 0;

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
  }

  /** Runs the filters from the given one on, then sends the head. */
  runHead(from: number, head: HeaderBlock, end: boolean): void {
    const exchange = this.#exchange;
    exchange.response = head;
    const hooks = exchange.service.chain.onResponseHead;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = callResponseHead(exchange, filter, head, end);
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
    this.#sendHead(head, end);
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
    else this.#sendData(attempt, bytes, start, end, last);
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
    exchange.downstream.sendTrailers(trailers);
    this.#onComplete();
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
      this.#sendData(this.#isLocal ? undefined : attempt, bytes, 0, bytes.length, last);
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
    if (this.isHeadSent) {
      exchange.downstream.reset(makeStreamError("us", "stream", H2_ERROR.INTERNAL_ERROR, reply.detail));
      exchange.finish(DONE);
      return;
    }
    const endpoint = exchange.attempts.at(-1)?.endpoint;
    const { head, body } = renderReply(reply, {
      requestId: exchange.requestId,
      isGrpc: exchange.isGrpc,
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
    mutateResponse(exchange, head);
    this.runHead(0, head, body.length === 0);
    if (body.length === 0 || exchange.isOver) return;
    if (this.#isHeld()) exchange.pausing?.keep(body, 0, body.length, true);
    else this.#sendData(undefined, body, 0, body.length, true);
  }

  #isHeld(): boolean {
    return this.#exchange.pausing?.holdsResponse === true;
  }

  #sendHead(head: HeaderBlock, end: boolean): void {
    const exchange = this.#exchange;
    exchange.status = Number(head.get(":status") ?? "0");
    if (exchange.isGrpc) {
      const grpcStatus = head.get("grpc-status");
      if (grpcStatus !== undefined) exchange.grpcStatus = Number(grpcStatus);
    }
    leaveResponse(head, exchange.connection, exchange.service.config);
    if (exchange.connection.peerIdentity !== undefined && head.rawNames.some((raw) => raw !== undefined))
      packOrigProto(head);
    exchange.responseHeadMs = exchange.service.clock.nowMs();
    this.isHeadSent = true;
    exchange.downstream.sendHead(head, end);
    if (end) this.#onComplete();
    else head.detach();
  }

  /** `attempt`: whose bytes they are, to be credited; undefined = ours. */
  #sendData(attempt: UpstreamAttempt | undefined, bytes: Buffer, start: number, end: number, last: boolean): void {
    const size = end - start;
    this.#exchange.responseBytes += size;
    const hasRoom = this.#exchange.downstream.sendData(bytes, start, end, last);
    if (size > 0 && attempt !== undefined) {
      if (hasRoom) attempt.stream?.consumed(size);
      else this.#heldCredit += size;
    }
    if (last) this.#onComplete();
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
