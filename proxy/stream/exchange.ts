// One request and its answer: from the head's arrival, through the filters, the route and the attempts, to the last byte.
//
//   head -> [onRequestHead] -> route -> [onRouted] -> [onPick] -> pick -> open -> [onAttemptStart] -> upstream
//            |                  |         |            |    ^                                           |
//            +---- answer <-----+---------+------------+    +---- retry <- [onAttemptEnd] <- head or failure
//                    |                                                          |
//                    +------------------> [onResponseHead] <--------------------+
//                                               |
//                             body, trailers -> downstream -> [onDone]
import type { ForwardAction, Labels, RetryPolicy } from "#config/model/route.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  REROUTE,
  type Attempt,
  type AttemptFailure,
  type AttemptOutcome,
  type ConnectionView,
  type Exchange,
  type Filter,
  type LocalReply,
  type Pick,
  type ResponseFlag,
  type RetryVerdict,
  type RouteOverride,
  type TraceContext,
  type Verdict,
} from "#filters/filter.ts";
import type { Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import {
  chooseTarget,
  type CompiledRoute,
  type CompiledRouteTable,
  type CompiledTarget,
} from "#proxy/route/route-table.ts";
import type { UpstreamCluster } from "#proxy/upstream/contract.ts";
import { TUNNEL_PROTOCOL } from "#proxy/upstream/tunnel.ts";

import { UpstreamAttempt, type AttemptOwner } from "./attempt.ts";
import { enterRequest, leaveResponse } from "./edge.ts";
import { ExchangeTimers } from "./exchange-timers.ts";
import type { HttpService } from "./http-service.ts";
import { renderReply, replyForFailure } from "./local-reply.ts";
import { packOrigProto, unpackOrigProto } from "./orig-proto.ts";
import { answerWithoutUpstream } from "./direct-answer.ts";
import { RequestBody } from "./request-body.ts";
import { rewriteRequest, mutateResponse } from "./rewrite.ts";

const NO_LABELS: Labels = {};
type Picked<T, K extends keyof T> = { [P in K]: T[P] };
const DONE: StreamError = makeStreamError("us", "stream", H2_ERROR.NO_ERROR, "the answer is complete");

/** Where a paused filter stands. */
type Phase = "request-head" | "routed" | "pick" | "response-head" | "request-data" | "response-data";

export class HttpExchange implements Exchange, StreamHandler, AttemptOwner {
  readonly service: HttpService;
  readonly connection: ConnectionView;
  readonly downstream: HttpStream;
  readonly slots: unknown[] = [];
  readonly attempts: UpstreamAttempt[] = [];
  readonly trace: TraceContext = {
    traceId: "",
    parentSpanId: "",
    spanId: "",
    isSampled: false,
    traceState: "",
    hasB3: false,
  };
  readonly startMs: number;
  readonly body: RequestBody;
  readonly flags: ResponseFlag[] = [];
  readonly notes = new Map<string, string | number | boolean>();
  requestId = "";
  request: HeaderBlock = NO_HEAD;
  response: HeaderBlock | undefined = undefined;
  compiled: CompiledRoute | undefined = undefined;
  target: CompiledTarget | undefined = undefined;
  upstream: UpstreamCluster | undefined = undefined;
  localReply: LocalReply | undefined = undefined;
  isGrpc = false;
  isOver = false;
  status = 0;
  responseBytes = 0;
  responseHeadMs = 0;
  endMs = 0;
  /** The request is an upgrade or CONNECT, and was accepted: opaque bytes both ways. */
  isTunnel = false;
  grpcStatus: number | undefined = undefined;

  readonly #timers: ExchangeTimers;
  #current: UpstreamAttempt | undefined = undefined;
  #pick: Pick | undefined = undefined;
  #isAdmitted = false;
  #holdsRetry = false;
  #isResponseSent = false;
  #isInHook = false;
  #isPaused = false;
  #phase: Phase = "request-head";
  #phaseIndex = 0;
  #pausedHead: HeaderBlock | undefined = undefined;
  #pausedEnd = false;
  #pausedChunks: { readonly bytes: Buffer; readonly last: boolean }[] = [];
  #pausedTrailers: HeaderBlock | undefined = undefined;
  #pauseTimer: Timer | undefined = undefined;
  #heldResponseCredit = 0;
  #isUpgradeRequest = false;
  #refusal: LocalReply | undefined = undefined;
  /** A peer's CONNECT for opaque bytes: it ends here, and the bytes go to the application. */
  #isTerminated = false;

  constructor(service: HttpService, connection: ConnectionView, downstream: HttpStream) {
    this.service = service;
    this.connection = connection;
    this.downstream = downstream;
    this.startMs = service.clock.nowMs();
    this.body = new RequestBody(downstream, service.replay);
    this.#timers = new ExchangeTimers(service.clock, service.timers, this);
  }

  get route(): CompiledRoute["config"] | undefined {
    return this.compiled?.config;
  }

  get retry(): RetryPolicy | undefined {
    return this.compiled?.retry;
  }

  get cluster(): Cluster | undefined {
    return this.upstream?.config;
  }

  get requestBytes(): number {
    return this.body.bytes;
  }

  override(filter: string): RouteOverride | undefined {
    return this.target?.overrides.get(filter);
  }

  note(key: string, value: string | number | boolean): void {
    this.notes.set(key, value);
  }

  flag(flag: ResponseFlag): void {
    if (!this.flags.includes(flag)) this.flags.push(flag);
  }

  /** Answers as soon as the head is there, without asking any filter: the connection was refused. */
  refuse(reply: LocalReply): void {
    this.#refusal = reply;
  }

  // ---- from the downstream codec

  onHead(head: HeaderBlock, end: boolean): void {
    this.request = head;
    if (end) this.body.isComplete = true;
    this.isGrpc = head.get("content-type")?.startsWith("application/grpc") === true;
    this.#isUpgradeRequest = head.get(":method") === "CONNECT" || head.has("upgrade");
    if (this.connection.peerIdentity !== undefined) {
      unpackOrigProto(head);
      this.#isTerminated = this.#isUpgradeRequest && head.get(":protocol") === TUNNEL_PROTOCOL;
    }
    this.requestId = enterRequest(head, this.connection, this.service.config, this.service.random);
    this.#timers.startIdle(this.service.config.streamIdleTimeoutMs);
    this.#timers.startRequest(this.service.config.requestTimeoutMs);
    if (this.#refusal === undefined) this.#runRequestHead(0);
    else this.answer(this.#refusal);
  }

  onInformational(): void {
    // A request has none.
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.isOver) {
      if (end > start) this.downstream.consumed(end - start);
      return;
    }
    this.#timers.touch();
    const hooks = this.service.chain.onRequestData;
    for (let i = 0; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined || this.isTunnel) continue;
      const verdict = this.#call(filter, () => filter.onRequestData(this, bytes, start, end, last));
      if (verdict === PAUSE) {
        this.body.hold();
        this.#pause("request-data", i);
      } else if (verdict === ANSWERED) {
        this.#sendLocalReply();
        return;
      }
    }
    this.body.receive(bytes, start, end, last);
    if (last) this.#onRequestComplete();
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.isOver) return;
    for (const filter of this.service.chain.onRequestTrailers) {
      if (this.#call(filter, () => filter.onRequestTrailers(this, trailers)) !== ANSWERED) continue;
      this.#sendLocalReply();
      return;
    }
    this.body.receiveTrailers(trailers);
    this.#onRequestComplete();
  }

  onReset(error: StreamError): void {
    if (this.isOver) return;
    this.flag(error.origin === "us" ? "DPE" : "DC");
    if (this.localReply === undefined) this.note("downstream_reset", error.message);
    this.#finish(makeStreamError("user", "stream", H2_ERROR.CANCEL, `the client went away: ${error.message}`));
  }

  onDrain(): void {
    const held = this.#heldResponseCredit;
    this.#heldResponseCredit = 0;
    if (held > 0) this.#current?.stream?.consumed(held);
  }

  // ---- the way to the upstream

  #runRequestHead(from: number): void {
    const hooks = this.service.chain.onRequestHead;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = this.#call(filter, () => filter.onRequestHead(this, this.request, this.body.isComplete));
      if (verdict === CONTINUE || verdict === REROUTE) continue;
      if (verdict === PAUSE) this.#pause("request-head", i);
      else this.#sendLocalReply();
      return;
    }
    this.#chooseRoute();
  }

  #chooseRoute(): void {
    const table: CompiledRouteTable | undefined = this.service.routes();
    const compiled = table?.match(this.request, this.service.random);
    if (compiled === undefined) {
      const where =
        table === undefined
          ? "no route table has arrived yet"
          : `no route of ${table.config.name} matches ${this.request.get(":method")} ${this.request.get(":authority")}${this.request.get(":path")}`;
      this.answer({
        status: 404,
        flag: "NR",
        code: "route_not_found",
        proxyStatus: "destination_not_found",
        detail: where,
      });
      return;
    }
    this.compiled = compiled;
    this.target = chooseTarget(compiled, this.service.random);
    const action = compiled.config.action;
    if (action.kind === "forward") {
      const name =
        this.target?.cluster === "" && action.target.kind === "header"
          ? (this.request.get(action.target.name) ?? "")
          : (this.target?.cluster ?? "");
      this.upstream = this.service.clusters.get(name);
      if (this.upstream === undefined) this.note("missing_cluster", name);
      this.#timers.setIdle(action.idleTimeoutMs);
    }
    this.#runRouted(0);
  }

  #runRouted(from: number): void {
    const hooks = this.service.chain.onRouted;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = this.#call(filter, () => filter.onRouted(this, this.request));
      if (verdict === CONTINUE || verdict === REROUTE) continue;
      if (verdict === PAUSE) this.#pause("routed", i);
      else this.#sendLocalReply();
      return;
    }
    this.#forward();
  }

  #forward(): void {
    const action = this.compiled?.config.action;
    if (action === undefined) return;
    if (action.kind !== "forward") {
      answerWithoutUpstream(this, action);
      return;
    }
    if (this.upstream === undefined) {
      this.answer({
        status: action.clusterNotFoundStatus,
        flag: "NC",
        code: "cluster_not_found",
        proxyStatus: "destination_not_found",
        detail: `the route "${this.route?.name}" names the cluster "${String(this.notes.get("missing_cluster"))}", which does not exist`,
      });
      return;
    }
    if (this.#isUpgradeRequest && !this.#isTerminated && !this.#allowsUpgrade(action)) {
      this.answer({
        status: 403,
        flag: "NR",
        code: "upgrade_refused",
        proxyStatus: "http_request_denied",
        detail: `the route "${this.route?.name}" does not allow this upgrade`,
      });
      return;
    }
    if (!this.upstream.admit(false)) {
      this.answer(
        replyForFailure(
          "overflow",
          `the cluster ${this.upstream.config.name} has ${this.upstream.config.limits.maxRequests} requests running, its limit`,
        ),
      );
      return;
    }
    this.#isAdmitted = true;
    const retry = this.compiled?.retry;
    if (!this.#isUpgradeRequest && !this.body.isComplete && retry !== undefined && retry.numRetries > 0)
      this.body.allowReplay();
    this.#timers.prepareRoute(action, this.request);
    if (this.body.isComplete) this.#timers.onRequestComplete();
    this.startAttempt();
  }

  /** Starts the first or the next attempt. */
  startAttempt(): void {
    const upstream = this.upstream;
    if (this.isOver || upstream === undefined) return;
    const avoid: Endpoint[] = [];
    if (this.compiled?.retry?.avoidPreviousHosts !== false)
      for (const attempt of this.attempts) if (attempt.endpoint !== undefined) avoid.push(attempt.endpoint);
    this.#pick = {
      cluster: upstream.config,
      labels: this.#subset(),
      hash: this.compiled?.hash(this.request, this.connection),
      avoid,
    };
    this.#runPick(0, this.#pick);
  }

  #runPick(from: number, pick: Pick): void {
    const hooks = this.service.chain.onPick;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = this.#call(filter, () => filter.onPick(this, pick));
      if (verdict === CONTINUE || verdict === REROUTE) continue;
      if (verdict === PAUSE) this.#pause("pick", i);
      else this.#sendLocalReply();
      return;
    }
    this.#openAttempt(pick);
  }

  #openAttempt(pick: Pick): void {
    const picked = this.upstream?.pick(pick);
    if (picked === undefined) return;
    const now = this.service.clock.nowMs();
    if (typeof picked === "string") {
      const attempt = new UpstreamAttempt(this, this.attempts.length + 1, now, NO_ENDPOINT);
      attempt.endpoint = undefined;
      this.attempts.push(attempt);
      this.#current = attempt;
      const labels = Object.entries(pick.labels);
      const which = labels.length === 0 ? "" : ` with ${labels.map(([key, value]) => `${key}=${value}`).join(", ")}`;
      this.onAttemptFailed(
        attempt,
        "no-healthy-endpoint",
        `the cluster ${pick.cluster.name} has no healthy endpoint${which} (${picked})`,
        true,
      );
      return;
    }
    const attempt = new UpstreamAttempt(this, this.attempts.length + 1, now, picked);
    this.attempts.push(attempt);
    this.#current = attempt;
    if (this.#isTerminated) attempt.startTunnel(this.request.get(":authority") ?? "");
    else attempt.start(this.connection.protocol);
    if (attempt.stream === undefined && !attempt.isOver) this.request.detach();
  }

  onAttemptReady(attempt: UpstreamAttempt, stream: HttpStream): void {
    if (attempt !== this.#current || this.isOver) return;
    if (this.#isTerminated) {
      this.body.attach(stream);
      attempt.onHead(HeaderBlock.of([":status", "200"]), false);
      return;
    }
    const mayRepeat = this.compiled?.retry !== undefined && this.compiled.retry.numRetries > 0;
    const head = this.request;
    // What goes upstream is changed for this attempt alone; the next one begins with the copy, which has left the receive buffer.
    if (mayRepeat || attempt.number > 1) this.request = head.clone();
    rewriteRequest(this, head, attempt);
    for (const filter of this.service.chain.onAttemptStart)
      this.#call(filter, () => (filter.onAttemptStart(this, attempt, head), CONTINUE));
    if (attempt.endpoint?.mesh.kind === "peer" && this.connection.protocol === "http1") packOrigProto(head);
    this.#timers.startTry();
    stream.sendHead(head, this.body.isEmpty);
    // Logs and records read it when the exchange is over; other requests are in the receive buffer by then.
    this.request.detach();
    this.body.attach(stream);
  }

  // ---- from the upstream

  onAttemptHead(attempt: UpstreamAttempt, head: HeaderBlock, end: boolean): void {
    this.#timers.touch();
    const status = Number(head.get(":status") ?? "0");
    const grpcText = this.isGrpc ? head.get("grpc-status") : undefined;
    const grpcStatus = grpcText === undefined ? undefined : Number(grpcText);
    const outcome: AttemptOutcome = { kind: "response", status, grpcStatus, head };
    attempt.report(outcome, this.service.clock.nowMs());
    if (this.#wantsRetry(attempt)) {
      attempt.finish(!end);
      return;
    }
    this.#timers.stopTry();
    this.body.stopReplay();
    if (attempt.endpoint?.mesh.kind === "peer") unpackOrigProto(head);
    if (status === 101 || (status >= 200 && status < 300 && this.request.get(":method") === "CONNECT")) {
      this.isTunnel = true;
      this.#timers.stopRoute();
    }
    mutateResponse(this, head);
    this.#runResponseHead(0, head, end);
  }

  onAttemptInformational(head: HeaderBlock): void {
    if (!this.isOver && this.response === undefined) this.downstream.sendInformational(head);
  }

  onAttemptData(attempt: UpstreamAttempt, bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#timers.touch();
    if (this.#isPaused && (this.#phase === "response-head" || this.#phase === "response-data")) {
      this.#pausedChunks.push({ bytes: Buffer.from(bytes.subarray(start, end)), last });
      return;
    }
    const hooks = this.service.chain.onResponseData;
    for (let i = 0; i < hooks.length && !this.isTunnel; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      if (this.#call(filter, () => filter.onResponseData(this, bytes, start, end, last)) === PAUSE)
        this.#pause("response-data", i);
    }
    if (this.#isPaused && this.#phase === "response-data") {
      this.#pausedChunks.push({ bytes: Buffer.from(bytes.subarray(start, end)), last });
      return;
    }
    const size = end - start;
    this.responseBytes += size;
    const hasRoom = this.downstream.sendData(bytes, start, end, last);
    if (size > 0) {
      if (hasRoom) attempt.stream?.consumed(size);
      else this.#heldResponseCredit += size;
    }
    if (last) this.#onResponseComplete();
  }

  onAttemptTrailers(trailers: HeaderBlock): void {
    if (this.#isPaused && (this.#phase === "response-head" || this.#phase === "response-data")) {
      trailers.detach();
      this.#pausedTrailers = trailers;
      return;
    }
    for (const filter of this.service.chain.onResponseTrailers)
      this.#call(filter, () => filter.onResponseTrailers(this, trailers));
    const grpcStatus = this.isGrpc ? trailers.get("grpc-status") : undefined;
    if (grpcStatus !== undefined) this.grpcStatus = Number(grpcStatus);
    this.downstream.sendTrailers(trailers);
    this.#onResponseComplete();
  }

  onAttemptDrain(): void {
    this.body.onUpstreamDrain();
    if (this.#isResponseSent && this.body.isSent) this.#finish(undefined);
  }

  onAttemptFailed(attempt: UpstreamAttempt, reason: AttemptFailure, detail: string, isUnprocessed: boolean): void {
    if (this.isOver || attempt !== this.#current) return;
    this.body.detachUpstream();
    attempt.report({ kind: "failure", reason, isUnprocessed, detail }, this.service.clock.nowMs());
    const retries = this.#wantsRetry(attempt);
    attempt.finish(reason === "per-try-timeout");
    if (!retries) this.answer(replyForFailure(reason, detail));
  }

  onAttemptBroken(_attempt: UpstreamAttempt, error: StreamError): void {
    this.flag(error.origin === "us" ? "UPE" : "UC");
    this.note("upstream_reset", error.message);
    if (!this.#isResponseSent)
      this.downstream.reset(
        makeStreamError("us", "stream", H2_ERROR.INTERNAL_ERROR, `the upstream broke off: ${error.message}`),
      );
    this.#finish(error);
  }

  /** Asks the filters; true when another attempt was arranged. */
  #wantsRetry(attempt: UpstreamAttempt): boolean {
    let verdict: RetryVerdict = undefined;
    const canRetry =
      this.response === undefined && this.localReply === undefined && !this.#isUpgradeRequest && this.body.canReplay;
    for (const filter of this.service.chain.onAttemptEnd) {
      const said = this.#askAfterAttempt(filter, attempt);
      verdict ??= said;
    }
    if (verdict === undefined || this.isOver) return false;
    const decided = verdict;
    if (decided.kind === "exhausted") {
      this.flag(decided.flag);
      this.note("retry_exhausted", decided.reason);
      return false;
    }
    if (!canRetry) {
      this.note(
        "retry_impossible",
        this.#isUpgradeRequest ? "an upgrade is not repeated" : "the request's body was not kept",
      );
      return false;
    }
    this.request.detach();
    this.body.detachUpstream();
    this.#timers.startRetry(decided.delayMs);
    return true;
  }

  #askAfterAttempt(filter: Required<Picked<Filter, "onAttemptEnd">> & Filter, attempt: UpstreamAttempt): RetryVerdict {
    try {
      return filter.onAttemptEnd(this, attempt);
    } catch (error) {
      this.service.log.error("a filter threw", { filter: filter.name, requestId: this.requestId, error });
      return undefined;
    }
  }

  /** Takes one place among the cluster's retries, however many follow, until the exchange ends; for `FilterContext.tryRetry`. */
  tryHoldRetry(): boolean {
    this.#holdsRetry ||= this.upstream?.admit(true) === true;
    return this.#holdsRetry;
  }

  // ---- the way back

  #runResponseHead(from: number, head: HeaderBlock, end: boolean): void {
    this.response = head;
    const hooks = this.service.chain.onResponseHead;
    for (let i = from; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter === undefined) continue;
      const verdict = this.#call(filter, () => filter.onResponseHead(this, head, end));
      if (verdict !== PAUSE) continue;
      head.detach();
      this.#pausedHead = head;
      this.#pausedEnd = end;
      this.#pause("response-head", i);
      return;
    }
    this.#sendHead(head, end);
  }

  #sendHead(head: HeaderBlock, end: boolean): void {
    this.status = Number(head.get(":status") ?? "0");
    if (this.isGrpc) {
      const grpcStatus = head.get("grpc-status");
      if (grpcStatus !== undefined) this.grpcStatus = Number(grpcStatus);
    }
    leaveResponse(head, this.connection, this.service.config);
    if (this.connection.peerIdentity !== undefined && head.rawNames.some((raw) => raw !== undefined))
      packOrigProto(head);
    this.responseHeadMs = this.service.clock.nowMs();
    this.downstream.sendHead(head, end);
    if (end) this.#onResponseComplete();
    else head.detach();
  }

  answer(reply: LocalReply): void {
    if (this.isOver || this.localReply !== undefined) return;
    this.localReply = reply;
    if (!this.#isInHook) this.#sendLocalReply();
  }

  #sendLocalReply(): void {
    const reply = this.localReply;
    if (reply === undefined || this.isOver) return;
    this.#isPaused = false;
    this.flag(reply.flag);
    this.#timers.stopTry();
    this.#current?.finish(true);
    if (this.response !== undefined) {
      this.downstream.reset(makeStreamError("us", "stream", H2_ERROR.INTERNAL_ERROR, reply.detail));
      this.#finish(DONE);
      return;
    }
    const rendered = renderReply(
      reply,
      this.requestId,
      this.isGrpc,
      this.request.get(":method") === "HEAD",
      this.service.proxyName,
    );
    mutateResponse(this, rendered.head);
    const isBodyless = rendered.body.length === 0;
    this.#runResponseHead(0, rendered.head, isBodyless);
    if (isBodyless || this.isOver) return;
    this.responseBytes += rendered.body.length;
    this.downstream.sendData(rendered.body, 0, rendered.body.length, true);
    this.#onResponseComplete();
  }

  /** Sends a complete answer that no upstream gave (redirect, direct response). */
  sendDirect(head: HeaderBlock, body: Buffer): void {
    mutateResponse(this, head);
    this.#runResponseHead(0, head, body.length === 0);
    if (body.length === 0 || this.isOver) return;
    this.responseBytes += body.length;
    this.downstream.sendData(body, 0, body.length, true);
    this.#onResponseComplete();
  }

  #onRequestComplete(): void {
    this.#timers.onRequestComplete();
    if (this.#isResponseSent && this.body.isSent) this.#finish(undefined);
  }

  #onResponseComplete(): void {
    this.#isResponseSent = true;
    if (this.isTunnel && !this.body.isSent) return;
    if (!this.body.isComplete) this.downstream.reset(DONE);
    this.#finish(this.body.isComplete && this.body.isSent ? undefined : DONE);
  }

  // ---- timers, called by ExchangeTimers

  onIdleTimeout(): void {
    this.flag("SI");
    if (this.response !== undefined) {
      this.downstream.reset(makeStreamError("us", "stream", H2_ERROR.NO_ERROR, "the stream was idle for too long"));
      this.#finish(makeStreamError("us", "stream", H2_ERROR.CANCEL, "the stream was idle for too long"));
    } else
      this.answer({
        status: 408,
        flag: "SI",
        code: "stream_idle_timeout",
        proxyStatus: "http_response_timeout",
        detail: "nothing happened on the stream for its idle timeout",
      });
  }

  onRequestTimeout(): void {
    this.answer({
      status: 408,
      flag: "DT",
      code: "request_timeout",
      proxyStatus: "http_request_error",
      detail: `the request did not arrive within ${this.service.config.requestTimeoutMs} ms`,
    });
  }

  onRouteTimeout(timeoutMs: number): void {
    this.flag("UT");
    const attempt = this.#current;
    attempt?.report(
      { kind: "failure", reason: "per-try-timeout", isUnprocessed: false, detail: "the request's timeout" },
      this.service.clock.nowMs(),
    );
    for (const filter of this.service.chain.onAttemptEnd)
      if (attempt !== undefined && !attempt.hasHead) this.#askAfterAttempt(filter, attempt);
    this.answer({
      status: 504,
      flag: "UT",
      code: "upstream_timeout",
      proxyStatus: "http_response_timeout",
      grpcStatus: 4,
      detail: `the request timed out after ${timeoutMs} ms and ${this.attempts.length} attempt${this.attempts.length === 1 ? "" : "s"}`,
    });
  }

  onTryTimeout(timeoutMs: number): void {
    const attempt = this.#current;
    if (attempt !== undefined && !attempt.hasHead)
      this.onAttemptFailed(
        attempt,
        "per-try-timeout",
        `attempt ${attempt.number} got no answer within ${timeoutMs} ms`,
        false,
      );
  }

  // ---- pausing

  resume(): boolean {
    if (this.isOver || !this.#isPaused) return !this.isOver;
    this.#isPaused = false;
    this.#pauseTimer?.cancel();
    if (this.localReply !== undefined) return true;
    const next = this.#phaseIndex + 1;
    switch (this.#phase) {
      case "request-head":
        this.#runRequestHead(next);
        break;
      case "routed":
        this.#runRouted(next);
        break;
      case "pick":
        if (this.#pick !== undefined) this.#runPick(next, this.#pick);
        break;
      case "response-head":
        if (this.#pausedHead !== undefined) this.#runResponseHead(next, this.#pausedHead, this.#pausedEnd);
        this.#releasePausedResponse();
        break;
      case "request-data":
        this.body.resume();
        break;
      case "response-data":
        this.#releasePausedResponse();
        break;
    }
    return true;
  }

  #pause(phase: Phase, index: number): void {
    this.#isPaused = true;
    this.#phase = phase;
    this.#phaseIndex = index;
    this.request.detach();
    this.#pauseTimer?.cancel();
    this.#pauseTimer = this.service.clock.setTimer(this.service.pauseTimeoutMs, () => {
      if (this.#isPaused)
        this.answer({
          status: 500,
          flag: "LR",
          code: "filter_timeout",
          proxyStatus: "proxy_internal_error",
          detail: `a filter did not go on within ${this.service.pauseTimeoutMs} ms`,
        });
    });
  }

  #releasePausedResponse(): void {
    const attempt = this.#current;
    const chunks = this.#pausedChunks.splice(0);
    for (const chunk of chunks) {
      if (this.isOver || attempt === undefined) return;
      this.responseBytes += chunk.bytes.length;
      const hasRoom = this.downstream.sendData(chunk.bytes, 0, chunk.bytes.length, chunk.last);
      if (hasRoom) attempt.stream?.consumed(chunk.bytes.length);
      else this.#heldResponseCredit += chunk.bytes.length;
      if (chunk.last) this.#onResponseComplete();
    }
    const trailers = this.#pausedTrailers;
    this.#pausedTrailers = undefined;
    if (trailers !== undefined && !this.isOver) this.onAttemptTrailers(trailers);
  }

  // ---- helpers

  /** Runs one hook; a throw does what the filter's failure mode says. */
  #call(filter: Filter, hook: () => Verdict): Verdict {
    this.#isInHook = true;
    try {
      return hook();
    } catch (error) {
      this.service.log.error("a filter threw", { filter: filter.name, requestId: this.requestId, error });
      if (this.service.failureModes.get(filter.name) === "open") return CONTINUE;
      this.localReply ??= {
        status: 500,
        flag: "LR",
        code: "filter_error",
        proxyStatus: "proxy_internal_error",
        detail: `the filter ${filter.name} failed: ${describeError(error)}`,
      };
      return ANSWERED;
    } finally {
      this.#isInHook = false;
    }
  }

  #subset(): Record<string, string> {
    const action = this.compiled?.config.action;
    const own = action?.kind === "forward" ? action.subset : NO_LABELS;
    return { ...own, ...this.target?.weighted?.subset };
  }

  #allowsUpgrade(action: ForwardAction): boolean {
    const name = (
      this.request.get(":method") === "CONNECT"
        ? (this.request.get(":protocol") ?? "CONNECT")
        : (this.request.get("upgrade") ?? "")
    ).toLowerCase();
    const said = action.upgrades.find((upgrade) => upgrade.name.toLowerCase() === name);
    return said?.enabled ?? this.service.config.upgrades.some((upgrade) => upgrade.toLowerCase() === name);
  }

  #finish(upstreamError: StreamError | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.endMs = this.service.clock.nowMs();
    this.#timers.stopAll();
    this.#pauseTimer?.cancel();
    this.#current?.finish(upstreamError !== undefined, upstreamError);
    this.body.dispose();
    if (this.#isAdmitted) this.upstream?.release(false);
    if (this.#holdsRetry) this.upstream?.release(true);
    for (const filter of this.service.chain.onDone) this.#call(filter, () => (filter.onDone(this), CONTINUE));
    this.service.observer.onExchangeDone(this);
  }
}

const NO_HEAD = new HeaderBlock();

/** For an attempt that found no endpoint. */
const NO_ENDPOINT: ConstructorParameters<typeof UpstreamAttempt>[3] = {
  endpoint: {
    address: "",
    port: 0,
    hostname: "",
    health: "unknown",
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" },
  },
  open: () => ({ cancel: () => undefined }),
  openTunnel: () => ({ cancel: () => undefined }),
  report: () => undefined,
  done: () => undefined,
};

export type { Attempt };
