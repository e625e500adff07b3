// The filter contract: everything a filter sees of the proxy. A filter is a plain object of optional hooks, made once per
// configuration and shared by all its streams; what belongs to one request lies in a slot of its exchange.
import type { SocketAddress } from "#config/model/address.ts";
import type { Cluster, BreakerPolicy } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Direction } from "#config/model/listener.ts";
import type { RetryPolicy, Route, VirtualHost } from "#config/model/route.ts";
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";

/** The exchange goes on to the next filter. */
export const CONTINUE = 0;
/** The exchange waits until the filter calls `exchange.resume()`; it may be gone by then. */
export const PAUSE = 1;
/** The filter has answered (`exchange.answer`); nothing behind it is called. */
export const ANSWERED = 2;
/** onRequestHead only: path, host or a routing header was changed, choose the route again. */
export const REROUTE = 3;
export type Verdict = typeof CONTINUE | typeof PAUSE | typeof ANSWERED | typeof REROUTE;

/** The hooks; absent ones cost nothing. A throw is caught: `failureMode` "closed" answers 500 with the cause, "open" skips. */
export interface Filter {
  readonly name: string;
  /** Once per downstream connection, when the peer's identity is known; a string refuses the connection's requests with 403 and that reason. */
  onConnection?(connection: ConnectionView): string | undefined;
  /** The request's head, before a route is chosen. */
  onRequestHead?(exchange: Exchange, head: HeaderBlock, end: boolean): Verdict;
  /** A route was chosen: `exchange.route` is set, per-route settings are known. */
  onRouted?(exchange: Exchange, head: HeaderBlock): Verdict;
  /** Before an endpoint is chosen, for each attempt: narrow by labels, add a hash, or answer (a breaker that is open). */
  onPick?(exchange: Exchange, pick: Pick): Verdict;
  /** An attempt is about to be sent; `head` is what goes upstream and may be changed. */
  onAttemptStart?(exchange: Exchange, attempt: Attempt, head: HeaderBlock): void;
  /** An attempt ended: its response head came, or it failed. "retry" asks for another; the first filter that asks decides. */
  onAttemptEnd?(exchange: Exchange, attempt: Attempt): RetryVerdict;
  /** The response's head (after retries), also for local replies. */
  onResponseHead?(exchange: Exchange, head: HeaderBlock, end: boolean): Verdict;
  onRequestData?(exchange: Exchange, bytes: Buffer, start: number, end: number, last: boolean): Verdict;
  onResponseData?(exchange: Exchange, bytes: Buffer, start: number, end: number, last: boolean): Verdict;
  onRequestTrailers?(exchange: Exchange, trailers: HeaderBlock): Verdict;
  onResponseTrailers?(exchange: Exchange, trailers: HeaderBlock): Verdict;
  /** The exchange is over, exactly once, however it ended. */
  onDone?(exchange: Exchange): void;
}

/**
 * Changes one message's body on its way, behind the data and trailer hooks of all filters; made for one exchange. It may answer
 * (`exchange.answer`) instead of the message; what it throws is answered 500.
 */
export interface BodyTransform {
  /** What goes on in place of these bytes: empty = nothing yet. `last`: the body ends here; also for a message without one. */
  onData(bytes: Buffer, start: number, end: number, last: boolean): Buffer;
  /** The body ends here and trailers follow: what still goes before them. Trailers that it removes are not sent. */
  onTrailers(trailers: HeaderBlock): Buffer;
  /** A response's head waits, and may be changed, until there are bytes to send or the end has come. */
  readonly holdsHead: boolean;
}

export interface ConnectionView {
  readonly direction: Direction;
  readonly listener: string;
  readonly protocol: "http1" | "http2";
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Where a captured connection was going to; it is the local address too. */
  readonly originalDestination?: SocketAddress | undefined;
  readonly isTls: boolean;
  /** The verified peer's SPIFFE id (its URI SAN); undefined = not verified. */
  readonly peerIdentity: string | undefined;
  /** The verified peer's certificate, whether it has a SPIFFE id or not. */
  readonly peerCertificatePem: string | undefined;
  /** The id of our own certificate on this connection. */
  readonly localIdentity: string | undefined;
}

/** One request and its answer as filters see it. */
export interface Exchange {
  readonly connection: ConnectionView;
  /** `x-request-id`, also in every log line. */
  requestId: string;
  readonly request: HeaderBlock;
  readonly response: HeaderBlock | undefined;
  readonly route: Route | undefined;
  /** By `backendKey`: the one of the route's clusters that was chosen; "" where no filter binds requests to one. */
  readonly backend: string;
  /** The one that the route is of. */
  readonly virtualHost: VirtualHost | undefined;
  /** The client that is believed, behind trusted proxies (Envoy: downstream remote address). */
  readonly clientAddress: string;
  /** The cluster that the route named, after weights. */
  readonly cluster: Cluster | undefined;
  /** The retry policy in force: the route's, else its virtual host's. */
  readonly retry: RetryPolicy | undefined;
  readonly startMs: number;
  /** A peer's CONNECT for opaque bytes, which may have been opened before anybody knew whether it would be needed. */
  readonly isTerminated: boolean;
  /** An upgrade or CONNECT that was accepted: opaque bytes both ways, for as long as its client likes. */
  readonly isTunnel: boolean;
  /** In onDone: it was not needed. Nothing was asked of the application, and no limit should count it. */
  readonly isUnused: boolean;
  /** In onDone: an answer, of whomever, was sent whole. */
  readonly isAnswered: boolean;
  /** What goes upstream is gRPC. */
  readonly isGrpc: boolean;
  /** Per-request state of filters, by the index from `FilterContext.slot`. */
  readonly slots: unknown[];
  /** The answer has one of the headers that the retry policy names (`retriable_headers`). */
  hasRetriableHeaders(head: HeaderBlock): boolean;
  /** The request is one that the retry policy is for (`retriable_request_headers`). */
  isRetriable(): boolean;
  /** This filter's settings on the chosen route, when it overrides them: what the factory's `parse` made. */
  override(filter: string): RouteOverride | undefined;
  /** What the mesh answers itself; undefined: the upstream's answer is the answer, or there is none yet. */
  readonly localReply: LocalReply | undefined;
  /** In onResponseHead alone, which then returns ANSWERED: this whole answer goes to the client in place of the one that came. */
  substitute(head: HeaderBlock, body: Buffer): void;
  /** In onRouted: the request is kept, within the replay budget, so that another cluster can be asked in the end. */
  keepForAnother(): void;
  /**
   * In onResponseHead alone, which then returns ANSWERED: the request goes to another cluster with a new set of attempts, and what
   * that answers comes to this filter and those after it. False: that cannot be, and what came is the answer. At most once.
   */
  divert(to: Diversion): boolean;
  /** It went to another cluster than the route's: what holds for the route's own backend does not hold for it. */
  readonly isDiverted: boolean;
  /** Answers instead of the upstream, with `Proxy-Status`, flag and record; the hook must then return ANSWERED. */
  answer(reply: LocalReply): void;
  /** Changes the request's body; call in onRequestHead or onRouted. Several act in the order of the calls. */
  transformRequest(transform: BodyTransform): void;
  /** Changes the response's body; call in onResponseHead. Several act in the order of the calls. */
  transformResponse(transform: BodyTransform): void;
  /** The pause that the running hook asks for may last so long; else the proxy's limit for all filters ends it with an error. */
  allowPause(ms: number): void;
  /** Goes on after PAUSE. False: the exchange is over. */
  resume(): boolean;
  /** The response's body leaves no faster than this. */
  paceResponse(bytesPerSecond: number): void;
  /** Shows in access logs and records, beside the flags of how the exchange ended. */
  flag(flag: ResponseFlag): void;
  /** Says something in the record that `heddle explain` prints and access logs show. */
  note(key: string, value: string | number | boolean): void;
  readonly notes: ReadonlyMap<string, string | number | boolean>;
  /** Attempts so far, the running one included. */
  readonly attempts: readonly Attempt[];
  readonly trace: TraceContext;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** The status that was sent downstream; 0 while none was. */
  readonly status: number;
}

/** Where a request goes in the place of the route's clusters. */
export interface Diversion {
  readonly cluster: string;
  /** Only endpoints with all these labels. */
  readonly subset: Readonly<Record<string, string>>;
  /** Of the request from then on; 0 = no limit; undefined = what the route says, from the beginning. */
  readonly timeoutMs: number | undefined;
}

export interface RouteOverride {
  readonly isDisabled: boolean;
  /** What `FilterFactory.parse` gave. */
  readonly config: unknown;
  /** Whose settings they are: the table, the virtual host in it, or the route in that. */
  readonly owner?: string;
}

/** A cluster's endpoints, as far as a filter may choose among them by labels; "" is for those without the label. */
export interface EndpointView {
  /** Some endpoint has this label, whatever its value and health. */
  hasLabel(key: string): boolean;
  /** An endpoint with all these labels is there that is neither unhealthy nor ejected nor draining, nor among those to avoid. */
  hasUsable(labels: Readonly<Record<string, string>>, avoid?: readonly Endpoint[]): boolean;
}

/** What is asked of the balancer for one attempt. */
export interface Pick {
  readonly cluster: Cluster;
  /** Those of the cluster. */
  readonly endpoints?: EndpointView;
  /** Only endpoints with all these labels; "" = only endpoints without that label. To narrow, put another object in its place. */
  labels: Readonly<Record<string, string>>;
  /** Key for hashing balancers; undefined = random. */
  hash: number | undefined;
  /** By `endpointKey`: the endpoint to take, if it may be used. Undefined: any. */
  endpoint?: string | undefined;
  /** No other than that. */
  isStrict?: boolean;
  /** Endpoints not to take again if there is another. */
  readonly avoid: readonly Endpoint[];
  /** Nor those with all labels of one of these. */
  readonly omit?: readonly Readonly<Record<string, string>>[];
  /** For a mirrored copy of the request: ANSWERED drops the copy, and state of the exchange must not change. */
  readonly isMirror?: boolean;
}

export interface Attempt {
  readonly number: number;
  readonly startMs: number;
  endMs: number;
  endpoint: Endpoint | undefined;
  outcome: AttemptOutcome | undefined;
}

/** How an attempt ended, as far as a retry can be decided. */
export type AttemptOutcome =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly grpcStatus: number | undefined;
      readonly head: HeaderBlock;
      /** The peer's sidecar answered it, and vouches that the application never had the request. */
      readonly isUnprocessed?: boolean;
    }
  | {
      readonly kind: "failure";
      readonly reason: AttemptFailure;
      readonly isUnprocessed: boolean;
      readonly detail: string;
    };

export type AttemptFailure =
  | "connect-failure"
  | "connect-timeout"
  | "refused-stream"
  | "reset"
  | "reset-before-request"
  /** The upstream broke the protocol before its head was there. */
  | "protocol"
  /** The request cannot be said in the upstream's protocol: nothing of it was sent. */
  | "unsayable"
  | "per-try-timeout"
  | "no-healthy-endpoint"
  | "overflow"
  | "tls";

export type RetryVerdict =
  | undefined
  | {
      readonly kind: "retry";
      readonly delayMs: number;
      /** The upstream asked for the delay: where the request has less time left than it, the answer is not waited for in vain. */
      readonly isAsked?: boolean;
    }
  /** A retry was due, but is not allowed: the flag (URX, or RO for a spent budget) says which limit. */
  | { readonly kind: "exhausted"; readonly flag: ResponseFlag; readonly reason: string };

/** Envoy's response flags, the field's usual codes. */
export type ResponseFlag =
  | "UF"
  | "UH"
  | "UO"
  | "UC"
  | "UT"
  | "UR"
  | "URX"
  | "NR"
  | "NC"
  | "RL"
  | "RLSE"
  | "DC"
  | "LH"
  | "DT"
  | "DPE"
  | "UPE"
  | "UMSDR"
  | "SI"
  | "IH"
  | "FI"
  | "DI"
  | "UAEX"
  | "LR"
  | "OM"
  | "DO"
  | "RO"
  | "CB";

/** What the mesh answers itself. */
export interface LocalReply {
  readonly status: number;
  /** Undefined: mapped from the status as the gRPC documents say. */
  readonly grpcStatus?: number;
  /** Undefined: nothing went wrong. */
  readonly flag: ResponseFlag | undefined;
  /** A stable word: `rate_limited`, `breaker_open`, `no_healthy_upstream`; the problem document's `code`. */
  readonly code: string;
  /** RFC 9209 error type: `connection_limit_reached`, `destination_unavailable`, `http_request_denied` ... */
  readonly proxyStatus: string;
  /** One sentence for people: what was refused, by which rule. */
  readonly detail: string;
  /** The rule's name: `RateLimitPolicy shop/reviews`. */
  readonly rule?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Nothing of the request went anywhere: a peer in the mesh may send it elsewhere. */
  readonly isUnprocessed?: boolean;
  /** No error: it is the status and the headers, without a problem document or Proxy-Status, for gRPC too. */
  readonly isPlain?: boolean;
}

/** W3C trace context of one exchange; ids are lower-case hex. */
export interface TraceContext {
  traceId: string;
  /** The span that called us; "" at the root. */
  parentSpanId: string;
  /** Our own span, the parent of what goes upstream. */
  spanId: string;
  isSampled: boolean;
  traceState: string;
  /** The request came in with B3 headers, and is told on in them too. */
  hasB3: boolean;
}

/** A call of a gRPC service with one message each way. */
export interface UnaryRequest {
  readonly cluster: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly authority: string;
  readonly message: Uint8Array;
  /** Of the whole call; 0 = none. */
  readonly timeoutMs: number;
}

/** The message, or why there is none. */
export type UnaryResult = Buffer | string;

/** What a filter is made with. */
export interface FilterContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The filter's name in the chain, by which routes speak to it (`Exchange.override`). */
  readonly name: string;
  /** The place in `exchange.slots` of this filter's own: one, however often it is asked for. */
  slot(): number;
  /** Where the chain stands. */
  readonly direction: Direction;
  readonly listener: string;
  /** The cluster that this proxy is of (`node.cluster`). */
  readonly localCluster: string;
  /** Counters that outlive a configuration and are shared by workers: the same key gives the same cells. */
  cells(key: string, count: number): Int32Array;
  /** Counts of what runs now, shared by workers; what a worker that died had running is taken away when its successor asks. */
  shares(key: string, count: number): SharedCounts;
  /** State that outlives a configuration within this worker, kept while `key` and `definition` stay the same (contracts.md: state). */
  keep<T>(key: string, definition: string, make: () => T): T;
  /**
   * Calls a gRPC service over a cluster, as requests go there; calls back once, at once or later. What it returns gives the call up:
   * then nothing comes back.
   */
  unary(request: UnaryRequest, onResult: (result: UnaryResult) => void): () => void;
  /** The circuit breaker of a cluster, made lazily with this policy. */
  breaker(cluster: string, policy: BreakerPolicy): BreakerState;
  /** Those of a route, or of the tenants of a cluster: one for each key, bounded in number. */
  breakers(scope: string, policy: BreakerPolicy): { of(key: string): BreakerState };
  /**
   * Whether one more retry fits the cluster's budget and limits; when true, it is counted until the exchange ends. Of what no
   * upstream processed more may run (`unprocessedFloor`).
   */
  tryRetry(exchange: Exchange, isUnprocessed: boolean): boolean;
  /** Numbers of the system, read on a timer from the first call on; the same object each time. */
  system(): SystemNumbers;
  metrics: FilterMetrics;
}

/** As of the last second. */
export interface SystemNumbers {
  /** The load average of a minute. */
  readonly load1: number;
  /** Of the processors that may be used. */
  readonly cpuPercent: number;
  /** How late this thread's timers are, nine times of ten. */
  readonly eventLoopDelayMs: number;
}

/** Counters and gauges by name and labels, resolved when the filter is made. */
export interface FilterMetrics {
  counter(name: string, help: string, labels: Readonly<Record<string, string>>): { add(value: number): void };
  /** Of state that all workers share, read at each scrape; another one of the same name and labels takes its place. */
  gauge(name: string, help: string, labels: Readonly<Record<string, string>>, read: () => number): void;
}

/** What one worker holds of counts that all share: whoever adds to one adds to the other. */
export interface SharedCounts {
  readonly total: Int32Array;
  readonly own: Int32Array;
}

/** The mirrored state of an opossum breaker (contracts.md: breakers). */
export interface BreakerState {
  readonly state: "closed" | "open" | "half-open";
  /** May a request pass? In half-open one permit is taken by compare-and-swap. */
  tryPass(): "pass" | "probe" | "refused";
  /** The result of a request that passed; a probe's result closes or opens. */
  report(permit: "pass" | "probe", isSuccess: boolean): void;
  /** Ms until it half-opens; 0 when not open. */
  readonly retryAfterMs: number;
}

/** Makes filters of one kind from configuration. `parse` throws a `FilterConfigError` with the path of what is wrong. */
export interface FilterFactory<C> {
  readonly name: string;
  /** The messages that configure it: Envoy's where one says the same thing, else `type.googleapis.com/heddle.filters.<name>.v1.<Message>`. */
  readonly typeUrls: readonly string[];
  readonly failureMode: "closed" | "open";
  /** What a route may say to it: settings of its own, only that it is off, or nothing. */
  readonly perRoute: "settings" | "off" | "nothing";
  /** Loads what `make` needs and few proxies have; called before `make` wherever a chain names the filter. */
  load?(): Promise<void>;
  parse(config: JsonValue, typeUrl: string): C;
  /**
   * What a route's settings come to with those of a less specific scope (virtual host, table), where they are more than the most
   * specific alone; when configuration is compiled.
   */
  inherit?(own: RouteOverride, from: RouteOverride): RouteOverride;
  /** By `backendKey`: which of a route's weighted clusters the request belongs to, whatever the weights say; undefined: to none. */
  bind?(config: C, head: HeaderBlock, clock: Clock): string | undefined;
  /** What `make` would find wrong with the configuration, once `load` was called: throws it, with the field where one is to blame. */
  check?(config: C): void;
  make(config: C, context: FilterContext): Filter;
}
