// The attempts of one exchange, one after the other: pick an endpoint, open a stream, send the request, hear how it ended, and ask
// the filters whether there is another.
import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  REROUTE,
  type AttemptFailure,
  type LocalReply,
  type Pick,
  type ResponseFlag,
  type RetryVerdict,
} from "#filters/filter.ts";
import { fullJitterMs } from "#lib/backoff.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream } from "#lib/http/stream.ts";
import type { RequestPriority, UpstreamCluster } from "#proxy/upstream/contract.ts";

import { takeAnswer } from "./attempt-answer.ts";
import { describeNobody, makePick, NO_ENDPOINT } from "./attempt-pick.ts";
import { AttemptRace, isBadAnswer } from "./attempt-race.ts";
import { careOf, keepsOriginal, prepareHead } from "./attempt-request.ts";
import { UpstreamAttempt, type AttemptOwner } from "./attempt.ts";
import type { HttpExchange } from "./exchange.ts";
import { callAttemptEnd, callAttemptStart, callPick } from "./hooks.ts";
import { replyForFailure, UNPROCESSED } from "./local-reply.ts";
import { packOrigProto } from "./orig-proto.ts";
import { replyTimeout } from "./replies.ts";

export class AttemptLoop implements AttemptOwner {
  current: UpstreamAttempt | undefined = undefined;
  readonly #exchange: HttpExchange;
  #pick: Pick | undefined = undefined;
  #priority: RequestPriority = "default";
  #isAdmitted = false;
  #holdsRetry = false;
  /** Undefined while one attempt runs at a time. */
  #race: AttemptRace | undefined = undefined;
  /** The attempt that begins is one beside another, for speed. */
  #isHedging = false;
  /** Attempts at the cluster that was asked first. */
  #before = 0;

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
  }

  /** A retry policy may ask for the request again, or it may run twice. */
  get mayRepeat(): boolean {
    const { retry, hedge } = this.#exchange;
    if (hedge !== undefined) return true;
    return retry !== undefined && retry.numRetries > 0;
  }

  /** Takes the request's place among the cluster's; false = the cluster has too many already. */
  admit(): boolean {
    const action = this.#exchange.compiled?.config.action;
    if (action?.kind === "forward") this.#priority = action.priority;
    this.#isAdmitted = this.#exchange.upstream?.admit(false, this.#priority) === true;
    return this.#isAdmitted;
  }

  /** Ends what runs, and takes a place among the requests of another cluster instead; false = it has too many already. */
  move(upstream: UpstreamCluster): boolean {
    const exchange = this.#exchange;
    if (!upstream.admit(false, this.#priority)) return false;
    this.finish(true);
    this.release();
    exchange.timers.cancelRetry();
    this.#race = undefined;
    this.#holdsRetry = false;
    this.#isAdmitted = true;
    this.#before = exchange.attempts.length;
    this.current = undefined;
    exchange.upstream = upstream;
    return true;
  }

  /** Takes one place among the cluster's retries, however many follow, until the exchange ends. */
  tryHoldRetry(isUnprocessed: boolean): boolean {
    this.#holdsRetry ||= this.#exchange.upstream?.admit(true, this.#priority, isUnprocessed) === true;
    return this.#holdsRetry;
  }

  /** Starts the first or the next attempt. */
  start(): void {
    const exchange = this.#exchange;
    const { upstream } = exchange;
    if (exchange.isOver || upstream === undefined) return;
    this.#pick = makePick(exchange, upstream, exchange.attempts.length === this.#before);
    this.runPick(0);
  }

  /** Asks the filters from the given one on, then takes an endpoint. */
  runPick(from: number): void {
    const exchange = this.#exchange;
    const pick = this.#pick;
    if (pick === undefined) return;
    const hooks = exchange.service.chain.onPick;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = callPick(exchange, filter, pick);
      if (verdict === CONTINUE || verdict === REROUTE) continue;
      if (verdict === PAUSE) exchange.pause("pick", i);
      // What is refused is the attempt beside the one that runs, not the request.
      else if (this.#race !== undefined) exchange.localReply = undefined;
      else exchange.sendLocalReply();
      return;
    }
    this.#open(pick);
  }

  #open(pick: Pick): void {
    const exchange = this.#exchange;
    const picked = exchange.upstream?.pick(pick, exchange.connection.originalDestination);
    if (picked === undefined) return;
    if (this.#isHedging && (typeof picked === "string" || this.#race?.hasEndpointOf(picked) === true)) {
      // Nobody else could answer sooner.
      if (typeof picked !== "string") picked.done();
      return;
    }
    const number = exchange.attempts.length + 1 - this.#before;
    const now = exchange.service.clock.nowMs();
    const endpoint = typeof picked === "string" ? NO_ENDPOINT : picked;
    const attempt = new UpstreamAttempt(this, number, now, endpoint, careOf(exchange));
    exchange.attempts = exchange.attempts.length === 0 ? [attempt] : [...exchange.attempts, attempt];
    this.current = attempt;
    this.#race?.add(attempt);
    if (typeof picked === "string") {
      attempt.endpoint = undefined;
      const detail = describeNobody(pick, picked);
      this.onAttemptFailed(attempt, "no-healthy-endpoint", detail, true);
      return;
    }
    if (exchange.isTerminated) attempt.startTunnel(exchange.request.get(":authority") ?? "");
    else attempt.start(exchange.clientProtocol);
    if (attempt.stream === undefined && !attempt.isOver) exchange.request.detach();
  }

  onAttemptReady(attempt: UpstreamAttempt, stream: HttpStream): void {
    const exchange = this.#exchange;
    if (attempt !== this.current || exchange.isOver) return;
    if (exchange.isTerminated) {
      exchange.body.attach(stream);
      attempt.onHead(HeaderBlock.of([":status", "200"]), false);
      return;
    }
    const head = exchange.request;
    const isKept = keepsOriginal(exchange, this.mayRepeat);
    if (attempt.isResent && !isKept) {
      // It is as the first connection got it.
      stream.sendHead(head, exchange.body.isEmpty);
      exchange.body.attach(stream);
      return;
    }
    // What goes upstream is changed for this attempt alone; the next one begins with the copy, which has left the receive buffer.
    if (isKept) exchange.request = head.clone();
    prepareHead(exchange, head, attempt);
    const hooks = exchange.service.chain.onAttemptStart;
    for (let i = 0; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined || callAttemptStart(exchange, filter, attempt, head) !== ANSWERED) continue;
      exchange.sendLocalReply();
      return;
    }
    if (attempt.endpoint?.mesh.kind === "peer" && exchange.connection.protocol === "http1") packOrigProto(head);
    exchange.timers.startTry();
    stream.sendHead(head, exchange.body.isEmpty);
    // Logs and records read it when the exchange is over; other requests are in the receive buffer by then.
    exchange.request.detach();
    exchange.body.attach(stream);
  }

  onAttemptHead(attempt: UpstreamAttempt, head: HeaderBlock, end: boolean): void {
    const exchange = this.#exchange;
    const nowMs = exchange.service.clock.nowMs();
    exchange.timers.touchTry(nowMs);
    const status = Number(head.get(":status") ?? "0");
    const grpcText = exchange.isGrpc ? head.get("grpc-status") : undefined;
    const grpcStatus = grpcText === undefined ? undefined : Number(grpcText);
    const isPeer = attempt.endpoint?.mesh.kind === "peer";
    const isUnprocessed = isPeer && head.has(UNPROCESSED);
    if (isUnprocessed) head.delete(UNPROCESSED);
    attempt.report({ kind: "response", status, grpcStatus, head, isUnprocessed }, nowMs, exchange.service.clock);
    if (this.#race !== undefined && !this.#wins(this.#race, attempt, isBadAnswer(status, grpcStatus), end)) return;
    if (this.#wantsRetry(attempt)) {
      attempt.finish(!end);
      return;
    }
    // Whose answer it is comes last: sessions, records and logs look there.
    if (exchange.attempts.at(-1) !== attempt)
      exchange.attempts = [...exchange.attempts.filter((one) => one !== attempt), attempt];
    exchange.timers.stopTry();
    if (!exchange.keepsForAnother) exchange.body.stopReplay();
    takeAnswer(exchange, head, attempt, status, nowMs);
    exchange.answering.begin(head, end);
  }

  onAttemptInformational(head: HeaderBlock): void {
    const exchange = this.#exchange;
    if (!exchange.isOver && exchange.response === undefined) exchange.downstream.sendInformational(head);
  }

  onAttemptData(attempt: UpstreamAttempt, bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#exchange.timers.touchTry();
    this.#exchange.answering.onData(attempt, bytes, start, end, last);
  }

  onAttemptTrailers(trailers: HeaderBlock): void {
    this.#exchange.answering.onTrailers(trailers);
  }

  onAttemptDrain(): void {
    const exchange = this.#exchange;
    exchange.body.onUpstreamDrain();
    if (exchange.answering.isSent && exchange.body.isSent) exchange.finish(undefined);
  }

  /**
   * A connection that was idle may be closed by its peer while a request is on its way to it, which is nobody's fault and no
   * retry: once, on a new connection, and nobody hears of it (RFC 9112 §9.3.1, RFC 9110 §9.2.2; decisions: 0007).
   */
  mayResend(attempt: UpstreamAttempt, error: StreamError): boolean {
    const exchange = this.#exchange;
    if (exchange.isOver || attempt !== this.current || attempt.isResent || attempt.hasInformational) return false;
    if (error.scope !== "connection" || error.origin === "us" || error.origin === "user") return false;
    if (!error.isUnprocessed && (attempt.care !== "none" || !attempt.isReused)) return false;
    const { body } = exchange;
    if (exchange.isUpgradeRequest || exchange.response !== undefined || exchange.localReply !== undefined) return false;
    if (!body.canReplay) return false;
    body.detachUpstream();
    exchange.note("resent", error.message);
    return true;
  }

  onAttemptFailed(attempt: UpstreamAttempt, reason: AttemptFailure, detail: string, isUnprocessed: boolean): void {
    const exchange = this.#exchange;
    const race = this.#race;
    if (exchange.isOver || (attempt !== this.current && race?.has(attempt) !== true)) return;
    if (race !== undefined) {
      const { clock } = exchange.service;
      attempt.report({ kind: "failure", reason, isUnprocessed, detail }, clock.nowMs(), clock);
      if (race.size > 1) {
        this.#leave(race, attempt, reason === "per-try-timeout");
        return;
      }
      exchange.timers.cancelRetry();
      this.#race = undefined;
    }
    exchange.body.detachUpstream();
    attempt.report(
      { kind: "failure", reason, isUnprocessed, detail },
      exchange.service.clock.nowMs(),
      exchange.service.clock,
    );
    const retries = this.#wantsRetry(attempt);
    attempt.finish(reason === "per-try-timeout");
    if (retries) return;
    const reply = this.#altered(replyForFailure(reason, detail));
    exchange.answer(exchange.attempts.every((one) => one.wentNowhere) ? { ...reply, isUnprocessed: true } : reply);
  }

  onAttemptBroken(_attempt: UpstreamAttempt, error: StreamError): void {
    this.#breakOff(error.origin === "us" ? "UPE" : "UC", error, `the upstream broke off: ${error.message}`);
  }

  #breakOff(flag: ResponseFlag, error: StreamError, message: string): void {
    const exchange = this.#exchange;
    exchange.flag(flag);
    exchange.note("upstream_reset", error.message);
    if (exchange.answering.isHeadHeld) {
      exchange.answer(replyForFailure("reset", message));
      return;
    }
    if (!exchange.answering.isSent)
      exchange.downstream.reset(makeStreamError("us", "stream", codeForClient(error), message));
    exchange.finish(error);
  }

  /** The attempt's own timer fired. */
  onTryTimeout(timeoutMs: number): void {
    const exchange = this.#exchange;
    const attempt = this.current;
    if (attempt === undefined || attempt.hasHead) return;
    const nowMs = exchange.service.clock.nowMs();
    if (exchange.hedge?.onPerTryTimeout === true && exchange.body.isSent) {
      attempt.reportTimeout(nowMs);
      this.#hedgeAfterTimeout(attempt);
      return;
    }
    // The others are older.
    this.#race?.giveUpOthers(attempt, nowMs);
    const detail = `attempt ${attempt.number} got no answer within ${timeoutMs} ms`;
    this.onAttemptFailed(attempt, "per-try-timeout", detail, false);
  }

  /** The attempt goes on, and the next one begins beside it, on no condition but that there is one left (Envoy). */
  #hedgeAfterTimeout(attempt: UpstreamAttempt): void {
    const exchange = this.#exchange;
    const { retry } = exchange;
    if (retry === undefined || attempt.number > retry.numRetries) {
      exchange.flag("URX");
      return;
    }
    if (!this.tryHoldRetry(false)) {
      exchange.flag("RO");
      return;
    }
    this.#race ??= new AttemptRace(attempt);
    const { baseMs, maxMs } = retry.backoff;
    exchange.timers.startRetry(fullJitterMs(attempt.number, baseMs, maxMs, exchange.service.random));
  }

  /** There was no answer for the route's delay: an idempotent request that was sent wholly runs on another endpoint too. */
  onHedge(): void {
    const exchange = this.#exchange;
    const { hedge, body } = exchange;
    const attempt = this.current;
    if (attempt === undefined || attempt.hasHead || attempt.stream === undefined || hedge === undefined) return;
    if (!body.isSent || !body.canReplay || careOf(exchange) !== "none") return;
    if (exchange.attempts.length - this.#before >= hedge.maxAttempts) return;
    if (!this.tryHoldRetry(false)) {
      exchange.note("hedge_refused", "the retry budget is spent");
      return;
    }
    this.#race ??= new AttemptRace(attempt);
    this.#isHedging = true;
    this.start();
    this.#isHedging = false;
  }

  /** An answer came while others may come: false when it does not count. The request's answer ends the race. */
  #wins(race: AttemptRace, attempt: UpstreamAttempt, isBad: boolean, end: boolean): boolean {
    const exchange = this.#exchange;
    if (isBad && race.size > 1) {
      this.#leave(race, attempt, !end);
      return false;
    }
    exchange.timers.cancelRetry();
    race.giveUpOthers(attempt, exchange.service.clock.nowMs());
    this.#race = undefined;
    if (attempt !== this.current) this.#continueWith(attempt);
    if (exchange.attempts.length > 1)
      exchange.note("hedge", `attempt ${attempt.number} of ${exchange.attempts.length} answered first`);
    return true;
  }

  #leave(race: AttemptRace, attempt: UpstreamAttempt, reset: boolean): void {
    attempt.finish(reset);
    race.leave(attempt);
    if (attempt === this.current && race.last !== undefined) this.#continueWith(race.last);
  }

  /** An older attempt, which has got the whole request. */
  #continueWith(attempt: UpstreamAttempt): void {
    const { body, timers } = this.#exchange;
    this.current = attempt;
    timers.endTry();
    body.detachUpstream();
    body.isSent = true;
  }

  /** The upstream was silent for too long. */
  onTryIdleTimeout(timeoutMs: number): void {
    const attempt = this.current;
    if (attempt === undefined) return;
    this.#race?.giveUpOthers(attempt, this.#exchange.service.clock.nowMs());
    const detail = `attempt ${attempt.number} was silent for ${timeoutMs} ms`;
    if (attempt.hasHead) this.#breakOff("UT", makeStreamError("us", "stream", H2_ERROR.CANCEL, detail), detail);
    else this.onAttemptFailed(attempt, "per-try-timeout", detail, false);
  }

  /** The route's timeout ends the attempt that runs: the filters hear of it, and nothing is repeated. */
  onRouteTimeout(timeoutMs: number): void {
    const exchange = this.#exchange;
    const attempt = this.current;
    exchange.flag("UT");
    if (this.#race !== undefined) this.#race.giveUpOthers(attempt, exchange.service.clock.nowMs());
    attempt?.report(
      { kind: "failure", reason: "per-try-timeout", isUnprocessed: false, detail: "the request's timeout" },
      exchange.service.clock.nowMs(),
      exchange.service.clock,
    );
    if (attempt?.hasHead === false)
      for (const filter of exchange.service.chain.onAttemptEnd) callAttemptEnd(exchange, filter, attempt);
    exchange.answer(this.#altered(replyTimeout(timeoutMs, exchange.attempts.length)));
  }

  /** A caller may want timeouts answered 204 (`x-envoy-upstream-rq-timeout-alt-response`). */
  #altered(reply: LocalReply): LocalReply {
    return reply.flag === "UT" && this.#exchange.controls?.isAltResponse === true ? { ...reply, status: 204 } : reply;
  }

  /** The exchange is over, or answers by itself. */
  finish(reset: boolean, error?: StreamError): void {
    this.#race?.giveUpOthers(this.current, this.#exchange.service.clock.nowMs());
    this.current?.finish(reset, error);
  }

  /** Gives the places among the cluster's requests and retries back; once, when the exchange is over. */
  release(): void {
    if (this.#isAdmitted) this.#exchange.upstream?.release(false, this.#priority);
    if (this.#holdsRetry) this.#exchange.upstream?.release(true, this.#priority);
  }

  /** Asks the filters; true when another attempt was arranged. */
  #wantsRetry(attempt: UpstreamAttempt): boolean {
    const exchange = this.#exchange;
    const { isUpgradeRequest, body } = exchange;
    let verdict: RetryVerdict = undefined;
    const canRetry =
      exchange.response === undefined && exchange.localReply === undefined && !isUpgradeRequest && body.canReplay;
    const hooks = exchange.service.chain.onAttemptEnd;
    for (let i = 0; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const said = callAttemptEnd(exchange, filter, attempt);
      verdict ??= said;
    }
    if (verdict === undefined || exchange.isOver) return false;
    const decided = verdict;
    if (decided.kind === "exhausted") {
      exchange.flag(decided.flag);
      exchange.note("retry_exhausted", decided.reason);
      return false;
    }
    if (!canRetry) {
      exchange.note(
        "retry_impossible",
        isUpgradeRequest ? "an upgrade is not repeated" : "the request's body was not kept",
      );
      return false;
    }
    if (decided.isAsked === true && decided.delayMs >= exchange.timers.routeLeftMs()) {
      exchange.note("retry_after_late", "the request has less time left than the answer asks for");
      return false;
    }
    exchange.request.detach();
    body.detachUpstream();
    exchange.timers.startRetry(decided.delayMs);
    return true;
  }
}

/**
 * A stream's own codes that stay true one hop further. NO_ERROR would call a cut answer complete, REFUSED_STREAM would say that
 * nothing was processed; those, and the loss of a connection, are an INTERNAL_ERROR to the client.
 */
function codeForClient({ origin, scope, code }: StreamError): number {
  const isTold = origin === "peer" && scope === "stream";
  return isTold && (code === H2_ERROR.CANCEL || code === H2_ERROR.ENHANCE_YOUR_CALM) ? code : H2_ERROR.INTERNAL_ERROR;
}
