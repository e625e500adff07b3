// A copy of a request for another cluster (Envoy `request_mirror_policies`). Its answer is thrown away, and whatever happens to it,
// the original never feels it: no waiting, no error, no credit held back.
import { CONTINUE, REROUTE, type AttemptFailure, type Pick } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { isDrawn } from "#lib/random.ts";
import { WheelTimer } from "#lib/timer-wheel.ts";
import type { OpenTicket, OpenWaiter, PickedEndpoint, UpstreamCluster } from "#proxy/upstream/contract.ts";

import type { HttpExchange } from "./exchange.ts";
import { callPick } from "./hooks.ts";
import { packOrigProto } from "./orig-proto.ts";
import type { BodyCopy } from "./request-body.ts";
import { rewriteRequest } from "./rewrite.ts";

const GIVEN_UP: StreamError = makeStreamError("us", "stream", H2_ERROR.CANCEL, "the mirrored request was given up");

/** Starts the copies that the route asks for; call when the request is about to go upstream. */
export function startMirrors(exchange: HttpExchange): void {
  const action = exchange.compiled?.config.action;
  if (action?.kind !== "forward" || exchange.isUpgradeRequest) return;
  for (const { cluster, fraction } of action.mirrors) {
    if (!isDrawn(fraction, exchange.service.random)) continue;
    const upstream = exchange.service.clusters.get(cluster);
    const pick = upstream === undefined ? undefined : pickFor(exchange, upstream);
    if (upstream === undefined || pick === undefined || !upstream.admit(false)) continue;
    const picked = upstream.pick(pick, exchange.connection.originalDestination);
    if (typeof picked === "string") {
      upstream.release(false);
      continue;
    }
    const mirror = new Mirror(exchange, upstream, picked, headFor(exchange, picked), action.timeoutMs);
    exchange.body.addCopy(mirror);
    mirror.start(exchange.clientProtocol);
  }
}

/** The filters narrow the choice as for the request itself (a tenant's copy stays with its tenant); undefined = one of them refused. */
function pickFor(exchange: HttpExchange, upstream: UpstreamCluster): Pick | undefined {
  const pick: Pick = {
    cluster: upstream.config,
    endpoints: upstream,
    labels: {},
    hash: undefined,
    endpoint: undefined,
    isStrict: false,
    avoid: [],
    isMirror: true,
  };
  exchange.isMirroring = true;
  try {
    for (const filter of exchange.service.chain.onPick) {
      const verdict = callPick(exchange, filter, pick);
      if (verdict !== CONTINUE && verdict !== REROUTE) return undefined;
    }
    return pick;
  } finally {
    exchange.isMirroring = false;
  }
}

/** As it goes upstream, with Envoy's `-shadow` behind the host's name. */
function headFor(exchange: HttpExchange, { endpoint }: PickedEndpoint): HeaderBlock {
  const head = exchange.request.clone();
  rewriteRequest(exchange, head, { number: 1, endpoint });
  const authority = head.get(":authority") ?? "";
  const port = /:\d+$/.exec(authority)?.index ?? authority.length;
  head.set(":authority", `${authority.slice(0, port)}-shadow${authority.slice(port)}`);
  if (endpoint.mesh.kind === "peer" && exchange.connection.protocol === "http1") packOrigProto(head);
  return head;
}

class Mirror extends WheelTimer implements BodyCopy, StreamHandler, OpenWaiter {
  readonly #upstream: UpstreamCluster;
  readonly #picked: PickedEndpoint;
  readonly #service: HttpExchange["service"];
  readonly #head: HeaderBlock;
  readonly #startMs: number;
  readonly #timeoutMs: number;
  readonly #isBodyless: boolean;
  #ticket: OpenTicket | undefined = undefined;
  #stream: HttpStream | undefined = undefined;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #trailers: HeaderBlock | undefined = undefined;
  #isComplete: boolean;
  #isReported = false;
  #isOver = false;

  constructor(
    exchange: HttpExchange,
    upstream: UpstreamCluster,
    picked: PickedEndpoint,
    head: HeaderBlock,
    timeoutMs: number,
  ) {
    super();
    this.#service = exchange.service;
    this.#upstream = upstream;
    this.#picked = picked;
    this.#head = head;
    this.#startMs = exchange.service.clock.nowMs();
    this.#timeoutMs = timeoutMs;
    this.#isBodyless = exchange.body.isEmpty;
    this.#isComplete = this.#isBodyless;
  }

  start(protocol: "http1" | "http2"): void {
    if (this.#timeoutMs > 0) this.#service.timers.start(this, this.#timeoutMs, this.#startMs);
    const ticket = this.#picked.open(protocol, this, this);
    if (this.#stream === undefined && !this.#isOver) this.#ticket = ticket;
  }

  // ---- from the original request

  onCopyData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#isOver) return;
    if (last) this.#isComplete = true;
    const limit = this.#upstream.config.perConnectionBufferLimitBytes;
    if (this.#stream !== undefined) {
      if (!this.#stream.sendData(bytes, start, end, last) && this.#stream.bufferedBytes > limit) this.#end(GIVEN_UP);
      return;
    }
    this.#waitingBytes += end - start;
    if (this.#waitingBytes > limit) this.#end(GIVEN_UP);
    else if (end > start) this.#waiting.push(Buffer.from(bytes.subarray(start, end)));
  }

  onCopyTrailers(trailers: HeaderBlock): void {
    if (this.#isOver) return;
    this.#isComplete = true;
    if (this.#stream === undefined) this.#trailers = trailers.clone();
    else this.#stream.sendTrailers(trailers.clone());
  }

  /** The original is over: a copy that lacks its end can never be answered, and one without a timeout must not stay for ever. */
  onCopyOver(): void {
    if (!this.#isComplete || this.#timeoutMs === 0) this.#end(GIVEN_UP);
  }

  // ---- from the pool

  onReady(stream: HttpStream): void {
    this.#ticket = undefined;
    this.#stream = stream;
    if (this.#isOver) {
      stream.reset(GIVEN_UP);
      return;
    }
    stream.sendHead(this.#head, this.#isBodyless);
    if (this.#isBodyless) return;
    const waiting = this.#waiting.splice(0);
    for (const [index, chunk] of waiting.entries()) {
      const last = this.#isComplete && this.#trailers === undefined && index === waiting.length - 1;
      stream.sendData(chunk, 0, chunk.length, last);
    }
    if (this.#trailers !== undefined) stream.sendTrailers(this.#trailers);
    else if (this.#isComplete && waiting.length === 0) stream.sendData(NOTHING, 0, 0, true);
  }

  onFailure(reason: AttemptFailure): void {
    this.#ticket = undefined;
    this.#report({ kind: "failure", reason, latencyMs: this.#elapsedMs() });
    this.#end(undefined);
  }

  // ---- from the upstream

  onHead(head: HeaderBlock, end: boolean): void {
    const status = Number(head.get(":status") ?? "0");
    const latencyMs = this.#elapsedMs();
    this.#report({ kind: "response", status, grpcStatus: undefined, latencyMs, retryAfterMs: 0 });
    if (end) this.#onAnswered();
  }

  onInformational(): void {
    // Nobody waits for it.
  }

  onData(_bytes: Buffer, start: number, end: number, last: boolean): void {
    if (end > start) this.#stream?.consumed(end - start);
    if (last) this.#onAnswered();
  }

  onTrailers(): void {
    this.#onAnswered();
  }

  onReset(): void {
    this.#report({ kind: "failure", reason: "reset", latencyMs: this.#elapsedMs() });
    this.#end(undefined);
  }

  onDrain(): void {
    // Nothing waits for room: what has none is given up.
  }

  onTimer(): void {
    this.#report({ kind: "failure", reason: "per-try-timeout", latencyMs: this.#elapsedMs() });
    this.#end(GIVEN_UP);
  }

  /** An answer before the request's end makes the rest of it useless. */
  #onAnswered(): void {
    this.#end(this.#isComplete ? undefined : GIVEN_UP);
  }

  #report(result: Parameters<PickedEndpoint["report"]>[0]): void {
    if (this.#isReported || this.#isOver) return;
    this.#isReported = true;
    this.#picked.report(result);
  }

  #elapsedMs(): number {
    return this.#service.clock.nowMs() - this.#startMs;
  }

  #end(error: StreamError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#service.timers.cancel(this);
    this.#ticket?.cancel();
    this.#ticket = undefined;
    if (error !== undefined) this.#stream?.reset(error);
    this.#waiting = [];
    this.#picked.done();
    this.#upstream.release(false);
  }
}

const NOTHING = Buffer.alloc(0);
