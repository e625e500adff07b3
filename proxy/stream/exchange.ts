// One request and its answer: from the head's arrival, through the filters, the route and the attempts, to the last byte.
//
//   head -> [onRequestHead] -> route -> [onRouted] -> [onPick] -> pick -> open -> [onAttemptStart] -> upstream
//            |                  |         |            |    ^                                           |
//            +---- answer <-----+---------+------------+    +---- retry <- [onAttemptEnd] <- head or failure
//                    |                                                          |
//                    +------------------> [onResponseHead] <--------------------+
//                                               |
//                             body, trailers -> downstream -> [onDone]
import type { Cluster } from "#config/model/cluster.ts";
import type { ForwardAction, RetryPolicy, VirtualHost } from "#config/model/route.ts";
import { makeNoTrace } from "#filters/trace-context/trace-context.ts";
import type {
  BodyTransform,
  ConnectionView,
  Diversion,
  Exchange,
  LocalReply,
  ResponseFlag,
  RouteOverride,
  TraceContext,
} from "#filters/filter.ts";
import { isGrpcType } from "#lib/grpc/content-type.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import {
  chooseTarget,
  type CompiledRoute,
  type CompiledRouteTable,
  type CompiledTarget,
  type HedgePolicy,
  withoutWeighted,
} from "#proxy/route/route-table.ts";
import { compileHeader } from "#filters/matchers.ts";
import type { UpstreamCluster } from "#proxy/upstream/contract.ts";
import { TUNNEL_PROTOCOL } from "#proxy/upstream/tunnel.ts";

import { AttemptLoop } from "./attempt-loop.ts";
import type { UpstreamAttempt } from "./attempt.ts";
import { answerWithoutUpstream } from "./direct-answer.ts";
import { namesAnotherHost } from "./captured-host.ts";
import { clientAddressOf, enterRequest } from "./edge.ts";
import { ExchangeTimers, type TimerOwner } from "./exchange-timers.ts";
import { callDone } from "./hooks.ts";
import { waitsForHost } from "./host-lookup.ts";
import type { HttpService } from "./http-service.ts";
import {
  replyClusterFull,
  replyIdle,
  replyNoCluster,
  replyNoRoute,
  replyRequestTimeout,
  replyStreamTimeout,
  replyUpgradeRefused,
} from "./replies.ts";
import { unpackOrigProto } from "./orig-proto.ts";
import { startMirrors } from "./mirror.ts";
import { Pausing, type Phase } from "./pausing.ts";
import { RequestBody } from "./request-body.ts";
import { passRequestData, passRequestTrailers, runRequestHead, runRouted } from "./request-filters.ts";
import { RequestTransforms } from "./request-transforms.ts";
import { settleInternal, takeControls, type RouterControls } from "./router-controls.ts";
import { ResponseSide } from "./response-side.ts";
import { allowsUpgrade } from "./upgrades.ts";

const NO_ATTEMPTS: readonly UpstreamAttempt[] = [];
const NO_NOTES: ReadonlyMap<string, string | number | boolean> = new Map();

/**
 * The spine and the request's side; the attempts are `AttemptLoop`'s, the way back is `ResponseSide`'s. Fields that no filter, log
 * or record reads are for these parts alone.
 */
export class HttpExchange implements Exchange, StreamHandler, TimerOwner {
  readonly service: HttpService;
  readonly connection: ConnectionView;
  readonly downstream: HttpStream;
  readonly slots: unknown[];
  attempts: readonly UpstreamAttempt[] = NO_ATTEMPTS;
  readonly trace: TraceContext = makeNoTrace();
  readonly startMs: number;
  readonly body: RequestBody;
  readonly timers: ExchangeTimers;
  readonly loop: AttemptLoop;
  readonly answering: ResponseSide;
  readonly flags: ResponseFlag[] = [];
  requestId = "";
  request: HeaderBlock = NO_HEAD;
  response: HeaderBlock | undefined = undefined;
  compiled: CompiledRoute | undefined = undefined;
  target: CompiledTarget | undefined = undefined;
  upstream: UpstreamCluster | undefined = undefined;
  localReply: LocalReply | undefined = undefined;
  isGrpc = false;
  /** The client speaks gRPC, and is answered so. */
  wantsGrpc = false;
  isOver = false;
  status = 0;
  responseBytes = 0;
  responseHeadMs = 0;
  endMs = 0;
  grpcStatus: number | undefined = undefined;
  /** An upgrade or CONNECT: asked for, and accepted (from then on opaque bytes both ways). */
  isUpgradeRequest = false;
  isTunnel = false;
  /** A peer's CONNECT for opaque bytes: it ends here, and the bytes go to the application. */
  isTerminated = false;
  isUnused = false;
  /** Its Host is not that of where it was going. */
  namesAnotherHost = false;
  /** What the client speaks to its own proxy, which carries HTTP/1 in HTTP/2. */
  clientProtocol: "http1" | "http2";
  /** The host was asked for on demand. */
  hasLookedUp = false;
  /** Its `x-envoy-*` fields are believed. */
  isInternal = false;
  /** What they ask for. */
  controls: RouterControls | undefined = undefined;
  /** A filter runs: what it answers is sent when it has returned. */
  isInHook = false;
  /** Filters are asked about a copy: their answers are not for the client. */
  isMirroring = false;
  /** A filter may send the request to another cluster, until an answer's head goes out. */
  keepsForAnother = false;
  /** ... and did. */
  diversion: Diversion | undefined = undefined;
  /** `set-cookie` values of our own, for the answer. */
  cookies: string[] | undefined = undefined;
  /** Undefined unless a filter changes the request's body. */
  transforms: RequestTransforms | undefined = undefined;
  /** Undefined until a filter pauses. */
  pausing: Pausing | undefined = undefined;
  #isPrepared = false;
  #refusal: LocalReply | undefined = undefined;
  /** Key, value, key, value: a Map for the one note that most requests have would cost more than all else of it. */
  #notes: (string | number | boolean)[] | undefined = undefined;

  constructor(service: HttpService, connection: ConnectionView, downstream: HttpStream) {
    this.service = service;
    this.connection = connection;
    this.downstream = downstream;
    this.slots = service.chain.slots.slice();
    this.clientProtocol = connection.protocol;
    this.startMs = service.clock.nowMs();
    this.body = new RequestBody(downstream, service.replay);
    this.timers = new ExchangeTimers(service.clock, service.timers, this);
    this.loop = new AttemptLoop(this);
    this.answering = new ResponseSide(this);
  }

  get route(): CompiledRoute["config"] | undefined {
    return this.compiled?.config;
  }

  get isAnswered(): boolean {
    return this.answering.isSent;
  }

  get virtualHost(): VirtualHost | undefined {
    return this.compiled?.virtualHost;
  }

  get retry(): RetryPolicy | undefined {
    return this.controls === undefined ? this.compiled?.retry : this.controls.retry;
  }

  get backend(): string {
    return this.target?.key ?? "";
  }

  /** When attempts run beside each other; undefined = never. */
  get hedge(): HedgePolicy | undefined {
    const hedge = this.compiled?.hedge;
    const onPerTryTimeout = this.controls?.hedgeOnPerTryTimeout;
    if (onPerTryTimeout === undefined) return hedge;
    return { delayMs: hedge?.delayMs ?? 0, maxAttempts: hedge?.maxAttempts ?? 2, onPerTryTimeout };
  }

  get cluster(): Cluster | undefined {
    return this.upstream?.config;
  }

  /** The client that is believed, behind trusted proxies (Envoy: downstream remote address). */
  get clientAddress(): string {
    return clientAddressOf(this.request, this.connection, this.service.config);
  }

  get notes(): ReadonlyMap<string, string | number | boolean> {
    const pairs = this.#notes;
    if (pairs === undefined) return NO_NOTES;
    const notes = new Map<string, string | number | boolean>();
    for (let i = 0; i < pairs.length; i += 2) notes.set(String(pairs[i]), pairs[i + 1] ?? "");
    return notes;
  }

  get requestBytes(): number {
    return this.transforms?.receivedBytes ?? this.body.bytes;
  }

  /** For the condition `retriable-headers`. */
  hasRetriableHeaders(head: HeaderBlock): boolean {
    const { controls } = this;
    if (controls !== undefined)
      return controls.retry?.retriableHeaders.some((one) => compileHeader(one).matches(head)) === true;
    return this.compiled?.retriableHeaders.some((test) => test.matches(head)) === true;
  }

  /** For `retriable_request_headers`. */
  isRetriable(): boolean {
    const tests = this.compiled?.retriableRequests;
    return tests === undefined || tests.length === 0 || tests.some((test) => test.matches(this.request));
  }

  /** Sends a cookie to the client with the answer. */
  setCookie(cookie: string): void {
    this.cookies ??= [];
    if (!this.cookies.includes(cookie)) this.cookies.push(cookie);
  }

  override(filter: string): RouteOverride | undefined {
    return this.target?.overrides.get(filter);
  }

  note(key: string, value: string | number | boolean): void {
    if (this.#notes === undefined) this.#notes = [key, value];
    else this.#notes.push(key, value);
  }

  flag(flag: ResponseFlag): void {
    if (!this.flags.includes(flag)) this.flags.push(flag);
  }

  /** Answers as soon as the head is there, without asking any filter: the connection was refused. */
  refuse(reply: LocalReply): void {
    this.#refusal = reply;
  }

  /** For `FilterContext.tryRetry`. */
  tryHoldRetry(isUnprocessed: boolean): boolean {
    return this.loop.tryHoldRetry(isUnprocessed);
  }

  // ---- from the downstream codec

  onHead(head: HeaderBlock, end: boolean): void {
    this.request = head;
    if (end) this.body.isComplete = true;
    this.isGrpc = isGrpcType(head.get("content-type"));
    this.wantsGrpc = this.isGrpc;
    this.isUpgradeRequest = head.get(":method") === "CONNECT" || head.has("upgrade");
    if (this.connection.peerIdentity !== undefined) {
      if (unpackOrigProto(head)) this.clientProtocol = "http1";
      this.isTerminated = this.isUpgradeRequest && head.get(":protocol") === TUNNEL_PROTOCOL;
    }
    const { hosts } = this.service.config;
    const { originalDestination } = this.connection;
    if (hosts !== undefined && originalDestination !== undefined && !this.isTerminated)
      this.namesAnotherHost = namesAnotherHost(head.get(":authority") ?? "", hosts, originalDestination);
    this.requestId = enterRequest(head, this.connection, this.service.config, this.service.random);
    const { config, isInternalAddress } = this.service;
    if (isInternalAddress !== undefined)
      this.isInternal = settleInternal(head, isInternalAddress, config.useRemoteAddress);
    const { streamIdleTimeoutMs, requestTimeoutMs, maxStreamMs } = config;
    this.timers.start(this.startMs, streamIdleTimeoutMs, requestTimeoutMs, maxStreamMs);
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
    this.timers.touch();
    if (!passRequestData(this, bytes, start, end, last)) return;
    if (last) this.#onRequestComplete();
  }

  onTrailers(trailers: HeaderBlock): void {
    if (this.isOver) return;
    if (!passRequestTrailers(this, trailers)) return;
    this.#onRequestComplete();
  }

  onReset(error: StreamError): void {
    if (this.isOver) return;
    if (this.isTerminated && error.code === H2_ERROR.NO_ERROR && this.requestBytes === 0) {
      // A tunnel that the peer opened before it knew whether it would need one: nothing failed.
      this.isUnused = true;
      this.finish(error);
      return;
    }
    this.flag(error.origin === "us" ? "DPE" : "DC");
    if (this.localReply === undefined) this.note("downstream_reset", error.message);
    this.finish(makeStreamError("user", "stream", H2_ERROR.CANCEL, `the client went away: ${error.message}`));
  }

  onDrain(): void {
    this.answering.onDrain(this.loop.current);
  }

  // ---- the way to the upstream

  #runRequestHead(from: number): void {
    if (runRequestHead(this, from)) this.#chooseRoute();
  }

  #chooseRoute(): void {
    const table: CompiledRouteTable | undefined = this.service.routes();
    const compiled = table?.match(this.request, this.service.random);
    if (compiled === undefined) {
      if (table !== undefined && waitsForHost(this, table, () => this.#chooseRoute())) return;
      this.answer(replyNoRoute(table?.config.name, this.request));
      return;
    }
    this.compiled = compiled;
    this.target = chooseTarget(compiled, this.request, this.service.random, this.service.clock);
    const action = compiled.config.action;
    if (action.kind === "forward") {
      const name =
        this.target?.cluster === "" && action.target.kind === "header"
          ? (this.request.get(action.target.name) ?? "")
          : (this.target?.cluster ?? "");
      this.upstream = this.service.clusters.get(name);
      if (this.upstream === undefined) this.note("missing_cluster", name);
      this.timers.setIdle(action.idleTimeoutMs);
      this.timers.setStream(action.maxStreamMs, this.startMs);
    }
    this.#runRouted(0);
  }

  #runRouted(from: number): void {
    if (runRouted(this, from)) this.#forward();
  }

  #forward(): void {
    const action = this.compiled?.config.action;
    if (action === undefined) return;
    if (action.kind !== "forward") {
      answerWithoutUpstream(this, action);
      return;
    }
    if (this.upstream === undefined) {
      const missing = String(this.notes.get("missing_cluster"));
      this.answer(replyNoCluster(this.route?.name, missing, action.clusterNotFoundStatus));
      return;
    }
    if (this.isUpgradeRequest && !allowsUpgrade(action, this.service.config, this.request)) {
      this.answer(replyUpgradeRefused(this.route?.name));
      return;
    }
    if (!this.loop.admit()) {
      this.answer(replyClusterFull(this.upstream.config));
      return;
    }
    this.#prepare(action);
    if (action.mirrors.length > 0) startMirrors(this);
    this.loop.start();
  }

  #prepare(action: ForwardAction): void {
    this.#isPrepared = true;
    if (!this.isUpgradeRequest && !this.body.isEmpty) this.body.allowReplay();
    if (this.isInternal) this.controls = takeControls(this.request, this.compiled?.retry);
    this.timers.prepareRoute(action, this.isGrpc, this.request, this.controls?.timeoutMs);
    if (this.body.isComplete) this.timers.onRequestComplete();
  }

  #onRequestComplete(): void {
    this.timers.onRequestComplete();
    if (this.answering.isSent && this.body.isSent) this.finish(undefined);
  }

  // ---- answers of our own

  answer(reply: LocalReply): void {
    if (this.isOver || this.localReply !== undefined || this.isMirroring) return;
    this.localReply = reply;
    if (!this.isInHook) this.sendLocalReply();
  }

  /** Sends what `answer` was given, in place of what the upstream may still say. */
  sendLocalReply(): void {
    const reply = this.localReply;
    if (reply === undefined || this.isOver) return;
    this.pausing?.drop();
    if (reply.flag !== undefined) this.flag(reply.flag);
    this.timers.endTry();
    this.loop.finish(true);
    this.answering.sendLocalReply();
  }

  substitute(head: HeaderBlock, body: Buffer): void {
    this.answering.substitute(head, body);
  }

  get isDiverted(): boolean {
    return this.diversion !== undefined;
  }

  keepForAnother(): void {
    if (!this.isUpgradeRequest && !this.isMirroring) this.keepsForAnother = true;
  }

  divert(to: Diversion): boolean {
    if (!this.keepsForAnother || !this.body.canReplay) return false;
    const upstream = this.service.clusters.get(to.cluster);
    if (upstream === undefined || !this.loop.move(upstream)) return false;
    this.keepsForAnother = false;
    this.diversion = to;
    return true;
  }

  /** Forgets what came, and asks the other cluster. */
  startOver({ timeoutMs }: Diversion): void {
    this.localReply = undefined;
    this.response = undefined;
    if (this.target !== undefined) this.target = withoutWeighted(this.target);
    this.body.detachUpstream();
    const action = this.compiled?.config.action;
    if (!this.#isPrepared && action?.kind === "forward") this.#prepare(action);
    this.timers.restartRoute(timeoutMs);
    // What ran when the failure was noticed may still be on the stack.
    this.timers.startRetry(0);
  }

  transformRequest(transform: BodyTransform): void {
    this.transforms ??= new RequestTransforms(this);
    this.transforms.add(transform);
  }

  transformResponse(transform: BodyTransform): void {
    this.answering.transform(transform);
  }

  paceResponse(bytesPerSecond: number): void {
    this.answering.pace(bytesPerSecond);
  }

  // ---- timers, called by ExchangeTimers

  onIdleTimeout(): void {
    this.#timeOut("SI", "the stream was idle for too long", replyIdle(this.body.isComplete));
  }

  onStreamTimeout(maxStreamMs: number): void {
    const reply = replyStreamTimeout(maxStreamMs, this.body.isComplete);
    this.#timeOut("DT", reply.detail, reply);
  }

  #timeOut(flag: ResponseFlag, reason: string, reply: LocalReply): void {
    this.flag(flag);
    if (this.answering.isHeadSent) {
      // Never NO_ERROR, with which a client would take what it has for the whole answer.
      this.downstream.reset(makeStreamError("us", "stream", H2_ERROR.INTERNAL_ERROR, reason));
      this.finish(makeStreamError("us", "stream", H2_ERROR.CANCEL, reason));
    } else this.answer(reply);
  }

  onRequestTimeout(): void {
    this.answer(replyRequestTimeout(this.service.config.requestTimeoutMs));
  }

  // ---- pausing

  allowPause(ms: number): void {
    this.pausing ??= new Pausing(this);
    this.pausing.allow(ms);
  }

  pause(phase: Phase, index: number): Pausing {
    const pausing = (this.pausing ??= new Pausing(this));
    this.request.detach();
    pausing.begin(phase, index);
    return pausing;
  }

  resume(): boolean {
    const { pausing } = this;
    if (this.isOver || pausing?.isPaused !== true) return !this.isOver;
    pausing.end();
    const next = pausing.index + 1;
    switch (pausing.phase) {
      case "request-head":
        this.#runRequestHead(next);
        break;
      case "routed":
        this.#runRouted(next);
        break;
      case "pick":
        this.loop.runPick(next);
        break;
      case "response-head":
        if (pausing.head !== undefined) this.answering.runHead(next, pausing.head, pausing.isHeadEnd);
        this.answering.release(this.loop.current);
        break;
      case "request-data":
        this.body.resume();
        break;
      case "response-data":
        this.answering.release(this.loop.current);
        break;
    }
    return true;
  }

  /** Ends everything, once; `upstreamError` says with what a stream that still runs is reset. */
  finish(upstreamError: StreamError | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.endMs = this.service.clock.nowMs();
    this.timers.stopAll();
    this.pausing?.end();
    this.loop.finish(upstreamError !== undefined, upstreamError);
    this.body.dispose();
    this.loop.release();
    const hooks = this.service.chain.onDone;
    for (let i = 0; i < hooks.length; i++) {
      const filter = hooks[i];
      if (filter !== undefined) callDone(this, filter);
    }
    this.service.observer.onExchangeDone(this);
  }
}

const NO_HEAD = new HeaderBlock();
