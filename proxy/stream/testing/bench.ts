// An exchange on the bench: real filters, a real route table, a downstream that is watched and an upstream that is scripted.
import type { Cluster } from "#config/model/cluster.ts";
import type { Endpoint, MeshHop } from "#config/model/endpoint.ts";
import type { FilterConfig } from "#config/model/filter-config.ts";
import type { HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { ForwardAction, RetryPolicy, Route, RouteTable, VirtualHost } from "#config/model/route.ts";
import { FilterChain } from "#filters/chain.ts";
import type { AttemptFailure, ConnectionView, Filter } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { silentLog } from "#lib/log.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { TimerWheel } from "#lib/timer-wheel.ts";
import { FilterRuntime } from "#proxy/app/filter-runtime.ts";
import type {
  AttemptReport,
  ClusterSet,
  OpenTicket,
  OpenWaiter,
  PickedEndpoint,
  PickFailure,
  RequestPriority,
  UpstreamCluster,
} from "#proxy/upstream/contract.ts";
import { Metrics } from "#proxy/telemetry/metrics.ts";

import { compileRouteTable } from "../compile-table.ts";
import { HttpExchange } from "../exchange.ts";
import type { HttpService } from "../http-service.ts";
import { compileInternal } from "../router-controls.ts";
import { ReplayBudget } from "../request-body.ts";

const NO_MUTATIONS = { set: [], add: [], addIfAbsent: [], remove: [] };
const NO_SCOPE = { requestHeaders: NO_MUTATIONS, responseHeaders: NO_MUTATIONS, filterOverrides: [] };

/** What was sent on one stream, in words: `head 200`, `data hello`, `end`, `trailers`, `reset 8`. */
export class WatchedStream implements HttpStream {
  readonly sent: string[] = [];
  head: HeaderBlock | undefined;
  credited = 0;
  isFull = false;
  readonly bufferedBytes = 0;

  sendInformational(head: HeaderBlock): void {
    this.sent.push(`informational ${head.get(":status")}`);
  }

  sendHead(head: HeaderBlock, end: boolean): void {
    this.head = head.clone();
    this.sent.push(`head ${head.get(":status") ?? head.get(":path")}${end ? " end" : ""}`);
  }

  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    this.sent.push(`data ${bytes.toString("latin1", start, end)}${last ? " end" : ""}`);
    return !this.isFull;
  }

  sendTrailers(trailers: HeaderBlock): void {
    this.sent.push(`trailers ${trailers.get("grpc-status") ?? ""}`);
  }

  reset(error: StreamError): void {
    this.sent.push(`reset ${error.code}`);
  }

  consumed(bytes: number): void {
    this.credited += bytes;
  }
}

/** One attempt as the upstream sees it. */
export class ScriptedAttempt implements PickedEndpoint, OpenTicket {
  readonly endpoint: Endpoint;
  readonly stream = new WatchedStream();
  readonly reports: AttemptReport[] = [];
  readonly wantsLoadReports = true;
  /** What was read for the load: heads and trailers, by the names of their fields. */
  readonly loads: string[] = [];
  handler: StreamHandler | undefined;
  waiter: OpenWaiter | undefined;
  isCancelled = false;
  dones = 0;
  /** What it was asked for. */
  asked: "http1" | "http2" | "tunnel" | undefined = undefined;
  readonly #onOpen: (attempt: ScriptedAttempt) => void;

  constructor(endpoint: Endpoint, onOpen: (attempt: ScriptedAttempt) => void) {
    this.endpoint = endpoint;
    this.#onOpen = onOpen;
  }

  open(protocol: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return this.#open(protocol, handler, waiter);
  }

  openTunnel(_authority: string, handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    return this.#open("tunnel", handler, waiter);
  }

  #open(asked: "http1" | "http2" | "tunnel", handler: StreamHandler, waiter: OpenWaiter): OpenTicket {
    this.asked = asked;
    this.handler = handler;
    this.waiter = waiter;
    this.#onOpen(this);
    return this;
  }

  ready(isReused = false): void {
    const info = {
      protocol: "http2",
      isTls: true,
      peerIdentity: undefined,
      localAddress: "127.0.0.1",
      localPort: 1,
    } as const;
    this.waiter?.onReady(this.stream, info, isReused);
  }

  fail(reason: AttemptFailure, detail = reason as string): void {
    this.waiter?.onFailure(reason, detail);
  }

  answer(status: number, body?: string, ...headers: readonly (readonly [string, string])[]): void {
    this.handler?.onHead(HeaderBlock.of([":status", String(status)], ...headers), body === undefined);
    if (body === undefined) return;
    const bytes = Buffer.from(body);
    this.handler?.onData(bytes, 0, bytes.length, true);
  }

  cancel(): void {
    this.isCancelled = true;
  }

  report(result: AttemptReport): void {
    this.reports.push(result);
  }

  reportLoad(fields: HeaderBlock): void {
    this.loads.push(Array.from({ length: fields.length }, (_, i) => fields.nameAt(i)).join(" "));
  }

  done(): void {
    this.dones++;
  }
}

export interface BenchOptions {
  readonly filters?: readonly FilterConfig[];
  readonly extraFilters?: readonly Filter[];
  /** By the filter's name; closed where there is none. */
  readonly failureModes?: Readonly<Record<string, "closed" | "open">>;
  readonly action?: Partial<ForwardAction>;
  readonly route?: Partial<Route>;
  readonly match?: Route["match"];
  readonly retry?: Partial<RetryPolicy>;
  readonly http?: Partial<HttpConnectionManager>;
  readonly peerIdentity?: string;
  /** Of the one virtual host. */
  readonly host?: Partial<VirtualHost>;
  readonly domains?: readonly string[];
  readonly connection?: Partial<ConnectionView>;
  /** Called for each attempt; default: the stream is ready at once. */
  readonly onOpen?: (attempt: ScriptedAttempt) => void;
  readonly onCopyOpen?: (attempt: ScriptedAttempt) => void;
  readonly pickFailure?: PickFailure;
  readonly isFull?: boolean;
  /** The endpoints have sidecars. */
  readonly isUpstreamMesh?: boolean;
}

export class ExchangeBench {
  readonly clock = new FakeClock();
  readonly downstream = new WatchedStream();
  readonly attempts: ScriptedAttempt[] = [];
  /** What went to the cluster `copy`. */
  readonly copies: ScriptedAttempt[] = [];
  readonly done: HttpExchange[] = [];
  readonly service: HttpService;
  readonly exchange: HttpExchange;
  admitted = 0;
  /** Places taken in the cluster `copy`. */
  copying = 0;
  /** Whose limits were asked, in order. */
  readonly priorities: RequestPriority[] = [];

  constructor(options: BenchOptions = {}) {
    this.service = this.#makeService(options);
    const connection: ConnectionView = {
      direction: "outbound",
      listener: "test",
      protocol: "http1",
      remoteAddress: "127.0.0.1",
      remotePort: 4000,
      localAddress: "127.0.0.1",
      localPort: 80,
      isTls: false,
      peerIdentity: options.peerIdentity,
      peerCertificatePem: undefined,
      localIdentity: undefined,
      ...options.connection,
    };
    this.exchange = new HttpExchange(this.service, connection, this.downstream);
  }

  request(method: string, path: string, end: boolean, ...headers: readonly (readonly [string, string])[]): void {
    this.exchange.onHead(
      HeaderBlock.of([":method", method], [":scheme", "http"], [":authority", "svc"], [":path", path], ...headers),
      end,
    );
  }

  /** A request without body to another host. */
  requestTo(authority: string, path = "/"): void {
    this.exchange.onHead(
      HeaderBlock.of([":method", "GET"], [":scheme", "http"], [":authority", authority], [":path", path]),
      true,
    );
  }

  data(text: string, last: boolean): void {
    const bytes = Buffer.from(text);
    this.exchange.onData(bytes, 0, bytes.length, last);
  }

  get attempt(): ScriptedAttempt {
    const attempt = this.attempts.at(-1);
    if (attempt === undefined) throw new Error("there was no attempt");
    return attempt;
  }

  #makeService(options: BenchOptions): HttpService {
    const runtime = new FilterRuntime({
      clock: this.clock,
      random: makeSeededRandom(3),
      log: silentLog,
      localCluster: "shop",
      metrics: new Metrics(),
      cells: (_key, count) => new Int32Array(count),
      shares: (_key, count) => ({ total: new Int32Array(count), own: new Int32Array(count) }),
      unary: () => () => undefined,
      breaker: () => {
        throw new Error("no breaker on this bench");
      },
      system: () => ({ load1: 0, cpuPercent: 0, eventLoopDelayMs: 0 }),
      breakers: () => {
        throw new Error("no breakers on this bench");
      },
    });
    const listener = makeListener();
    const { chain, failureModes } = runtime.compile(listener, options.filters ?? []);
    const table = compileRouteTable(makeTable(options), (override) => runtime.parseOverride(override));
    const cluster = this.#makeCluster(options);
    const copy = this.#makeCopyCluster(options);
    return {
      listener,
      config: makeHttp(options),
      chain: new FilterChain([...chain.filters, ...(options.extraFilters ?? [])]),
      failureModes: new Map([...failureModes, ...Object.entries(options.failureModes ?? {})]),
      routes: () => table,
      isInternalAddress: compileInternal(options.http?.internalAddresses ?? []),
      clusters: {
        get: (name) => (name === "backend" ? cluster : name === "copy" ? copy : undefined),
        apply: noop,
        setHealth: noop,
        renewTls: noop,
        snapshot: () => [],
        close: noop,
      } satisfies ClusterSet,
      clock: this.clock,
      timers: new TimerWheel(this.clock),
      random: makeSeededRandom(5),
      log: silentLog,
      observer: { onExchangeDone: (exchange) => void this.done.push(exchange) },
      replay: new ReplayBudget(),
      proxyName: "heddle",
      pauseTimeoutMs: 10_000,
      version: "7",
    };
  }

  #makeCopyCluster(options: BenchOptions): UpstreamCluster {
    return {
      config: { name: "copy", perConnectionBufferLimitBytes: 1024, metadata: {} } as unknown as Cluster, // as: what a mirror reads
      hasLabel: () => false,
      hasUsable: () => true,
      admit: () => ++this.copying > 0,
      release: () => void this.copying--,
      pick: () => {
        const attempt = new ScriptedAttempt(
          makeEndpoint("10.0.0.2", 80),
          options.onCopyOpen ?? ((copy) => copy.ready()),
        );
        this.copies.push(attempt);
        return attempt;
      },
    };
  }

  #makeCluster(options: BenchOptions): UpstreamCluster {
    const onOpen = options.onOpen ?? ((attempt: ScriptedAttempt) => attempt.ready());
    return {
      config: { name: "backend", limits: { maxRequests: 1024 }, metadata: {} } as unknown as Cluster, // as: what the exchange reads
      hasLabel: () => false,
      hasUsable: () => true,
      admit: (_isRetry, priority = "default") => {
        this.priorities.push(priority);
        if (options.isFull === true) return false;
        this.admitted++;
        return true;
      },
      release: () => void this.admitted--,
      pick: () => {
        if (options.pickFailure !== undefined) return options.pickFailure;
        const endpoint = makeEndpoint("10.0.0.1", 80 + this.attempts.length);
        const attempt = new ScriptedAttempt(
          options.isUpstreamMesh === true ? { ...endpoint, mesh: PEER } : endpoint,
          onOpen,
        );
        this.attempts.push(attempt);
        return attempt;
      },
    };
  }
}

const PEER: MeshHop = {
  kind: "peer",
  inboundAddress: "10.0.0.1",
  inboundPort: 80,
  identity: "spiffe://mesh/ns/a/sa/b",
  version: "1",
};

function makeEndpoint(address: string, port: number): Endpoint {
  return {
    address,
    port,
    hostname: `host-${port}.example`,
    health: "healthy",
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" },
  };
}

function noop(): void {
  // The bench's cluster never changes.
}

function makeListener(): Listener {
  return {
    name: "test",
    address: { address: "127.0.0.1", port: 0 },
    direction: "outbound",
    bindToPort: true,
    useOriginalDst: false,
    inspectTls: false,
    inspectHttp: false,
    inspectTimeoutMs: 0,
    continueOnInspectTimeout: true,
    filterChains: [],
    defaultFilterChain: undefined,
    perConnectionBufferLimitBytes: 1_048_576,
  };
}

function makeHttp(options: BenchOptions): HttpConnectionManager {
  return {
    streamIdleTimeoutMs: 300_000,
    streamFlushTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    maxStreamMs: 0,
    internalAddresses: [],
    suppressEnvoyHeaders: true,
    useRemoteAddress: false,
    generateRequestId: true,
    preserveExternalRequestId: true,
    serverName: "heddle",
    serverHeader: "pass_through",
    via: "",
    forwardClientCert: "sanitize",
    clientCertDetails: { subject: false, uri: true, dns: false, cert: false },
    upgrades: ["websocket"],
    accessLogs: [],
    ...options.http,
  } as unknown as HttpConnectionManager; // as: what the exchange reads
}

const RETRY: RetryPolicy = {
  retryOn: ["5xx", "reset", "connect-failure"],
  numRetries: 2,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  backoff: { baseMs: 25, maxMs: 250 },
  avoidPreviousHosts: true,
  hostSelectionAttempts: 3,
  retriableRequestHeaders: [],
  omitHosts: [],
  rateLimitedBackoff: undefined,
};

function makeTable(options: BenchOptions): RouteTable {
  const action: ForwardAction = {
    kind: "forward",
    target: { kind: "cluster", name: "backend" },
    clusterNotFoundStatus: 503,
    timeoutMs: 0,
    idleTimeoutMs: undefined,
    maxGrpcTimeoutMs: undefined,
    grpcTimeoutOffsetMs: 0,
    maxStreamMs: undefined,
    hedgeOnPerTryTimeout: undefined,
    retry: options.retry === undefined ? undefined : { ...RETRY, ...options.retry },
    hashPolicy: [],
    prefixRewrite: undefined,
    pathRewrite: undefined,
    regexRewrite: undefined,
    hostRewrite: undefined,
    autoHostRewrite: false,
    subset: {},
    mirrors: [],
    upgrades: [],
    priority: "default",
    ...options.action,
  };
  const route: Route = {
    ...NO_SCOPE,
    name: "HTTPRoute shop/test rule 0",
    match: {
      path: { kind: "prefix", value: "/" },
      caseSensitive: true,
      headers: [],
      query: [],
      grpcOnly: false,
      runtimeFraction: undefined,
    },
    action,
    metadata: {},
    ...(options.match === undefined ? {} : { match: options.match }),
    ...options.route,
  };
  return {
    ...NO_SCOPE,
    name: "table",
    onDemand: false,
    virtualHosts: [
      {
        ...NO_SCOPE,
        name: "svc",
        domains: options.domains ?? ["svc"],
        routes: [route],
        retry: undefined,
        ...options.host,
      },
    ],
  };
}
