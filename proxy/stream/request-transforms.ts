// The request's body through the filters that change it. Its sender gets credit for what it sent, when what was made of it has gone
// on: as many bytes as came in, however many went out.
import type { BodyTransform } from "#filters/filter.ts";
import { isGrpcType } from "#lib/grpc/content-type.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import { BodyTransforms, NO_BYTES } from "./body-transforms.ts";
import type { HttpExchange } from "./exchange.ts";
import type { BodySource, TakenBack } from "./request-body.ts";

export class RequestTransforms implements BodySource {
  /** As the client sent them. */
  receivedBytes: number;
  readonly #exchange: HttpExchange;
  readonly #steps: BodyTransforms;
  /** What came before the newest step was there, and the step from which it goes on. */
  #early: TakenBack | undefined = undefined;
  #earlyFrom = 0;
  /** Bytes that the client has no credit for yet, and bytes made of them that have not gone on. */
  #owed = 0;
  #waiting = 0;

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
    this.#steps = new BodyTransforms(exchange);
    this.receivedBytes = exchange.body.bytes;
    this.#owed = exchange.body.bytes;
    this.#waiting = exchange.body.bytes;
  }

  /** Call before the body has anywhere to go. */
  add(step: BodyTransform): void {
    this.#settleEarly();
    this.#earlyFrom = this.#steps.length;
    this.#early = this.#exchange.body.takeBack(this);
    for (const chunk of this.#early.chunks) this.#waiting -= chunk.length;
    this.#steps.add(step);
  }

  /** Sends on what came before the transforms were there, once the head is as it will be. False: answered. */
  settle(): boolean {
    const { request } = this.#exchange;
    this.#exchange.isGrpc = isGrpcType(request.get("content-type"));
    return this.#settleEarly();
  }

  /** False: answered. */
  receive(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (!this.#settleEarly()) return false;
    this.receivedBytes += end - start;
    this.#owed += end - start;
    return this.#pass(this.#steps.data(bytes, start, end, last), last);
  }

  receiveTrailers(trailers: HeaderBlock): boolean {
    return this.#settleEarly() && this.#passTrailers(trailers, 0);
  }

  /** So many of the bytes that were made have gone on. */
  consumed(bytes: number): void {
    this.#waiting -= bytes;
    this.#credit();
  }

  #settleEarly(): boolean {
    const early = this.#early;
    if (early === undefined) return true;
    this.#early = undefined;
    const { chunks, trailers, isComplete } = early;
    const from = this.#earlyFrom;
    for (const [i, chunk] of chunks.entries()) {
      const last = isComplete && trailers === undefined && i === chunks.length - 1;
      if (!this.#pass(this.#steps.data(chunk, 0, chunk.length, last, from), last)) return false;
    }
    if (trailers !== undefined) return this.#passTrailers(trailers, from);
    return !isComplete || chunks.length > 0 || this.#pass(this.#steps.data(NO_BYTES, 0, 0, true, from), true);
  }

  #passTrailers(trailers: HeaderBlock, from: number): boolean {
    const bytes = this.#steps.trailers(trailers, from);
    if (!this.#pass(bytes, trailers.length === 0)) return false;
    if (trailers.length > 0) this.#exchange.body.receiveTrailers(trailers);
    return true;
  }

  #pass(bytes: Buffer | undefined, last: boolean): boolean {
    if (bytes === undefined) {
      this.#exchange.keepsForAnother = false;
      this.#exchange.sendLocalReply();
      this.#waiting = 0;
    } else if (bytes.length > 0 || last) {
      this.#waiting += bytes.length;
      this.#exchange.body.receive(bytes, 0, bytes.length, last);
    }
    this.#credit();
    return bytes !== undefined && !this.#exchange.isOver;
  }

  #credit(): void {
    const owed = this.#owed;
    if (this.#waiting > 0 || owed === 0) return;
    this.#owed = 0;
    this.#exchange.downstream.consumed(owed);
  }
}
