// A bench for filters: an exchange without a proxy. It runs one filter's hooks and remembers what the filter did.
import type { Cluster } from "#config/model/cluster.ts";
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Direction } from "#config/model/listener.ts";
import type { RetryPolicy, Route, VirtualHost } from "#config/model/route.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { silentLog } from "#lib/log.ts";
import { makeSeededRandom, type Random } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";

import type {
  Attempt,
  AttemptOutcome,
  BodyTransform,
  BreakerState,
  ConnectionView,
  Diversion,
  Exchange,
  Filter,
  FilterContext,
  FilterFactory,
  LocalReply,
  ResponseFlag,
  RouteOverride,
  SystemNumbers,
  TraceContext,
} from "../filter.ts";
import { makeNoTrace } from "../trace-context/trace-context.ts";

export interface HarnessOptions {
  readonly direction?: Direction;
  readonly peerIdentity?: string;
  /** Default: the loopback. */
  readonly remoteAddress?: string;
  readonly cluster?: Partial<Cluster>;
  readonly backend?: string;
  readonly retry?: RetryPolicy;
  readonly override?: RouteOverride;
  readonly breaker?: BreakerState;
  readonly breakers?: (scope: string, key: string) => BreakerState;
  readonly system?: SystemNumbers;
  readonly mayRetry?: (isUnprocessed: boolean) => boolean;
  readonly isRetriable?: (head: HeaderBlock) => boolean;
  /** The request has what `retriable_request_headers` names. */
  readonly mayRepeat?: boolean;
  readonly random?: Random;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly route?: Route;
  readonly virtualHost?: VirtualHost;
  readonly unary?: FilterContext["unary"];
  /** What `resume` does. */
  readonly onResume?: () => void;
}

/** Counters by `name{label="value"}`. */
export class FilterBench {
  readonly clock = new FakeClock();
  readonly counters = new Map<string, number>();
  readonly gauges = new Map<string, () => number>();
  readonly #cells = new Map<string, Int32Array>();
  readonly #kept = new Map<string, { readonly definition: string; readonly value: unknown }>();

  /** Makes the filter as a chain would. */
  make<C>(factory: FilterFactory<C>, config: JsonValue, options: HarnessOptions = {}): Filter {
    return factory.make(factory.parse(config, factory.typeUrls.at(-1) ?? ""), this.context(options, factory.name));
  }

  context(options: HarnessOptions = {}, name = "test"): FilterContext {
    const cells = (key: string, count: number): Int32Array => {
      const known = this.#cells.get(key) ?? new Int32Array(count);
      this.#cells.set(key, known);
      return known;
    };
    return {
      clock: this.clock,
      random: options.random ?? makeSeededRandom(7),
      log: silentLog,
      localCluster: "shop",
      slot: () => 0,
      direction: options.direction ?? "inbound",
      listener: "test",
      name,
      cells,
      shares: (key, count) => ({ total: cells(key, count), own: cells(`${key}@0`, count) }),
      keep: <T>(key: string, definition: string, make: () => T): T => {
        const known = this.#kept.get(key);
        if (known?.definition === definition) return known.value as T; // as: the same key and definition made it
        const value = make();
        this.#kept.set(key, { definition, value });
        return value;
      },
      unary: options.unary ?? (() => () => undefined),
      breaker: () => {
        if (options.breaker === undefined) throw new Error("the test gave no breaker");
        return options.breaker;
      },
      breakers: (scope) => ({
        of: (key) => {
          const breaker = options.breakers?.(scope, key);
          if (breaker === undefined) throw new Error("the test gave no breaker");
          return breaker;
        },
      }),
      system: () => options.system ?? { load1: 0, cpuPercent: 0, eventLoopDelayMs: 0 },
      tryRetry: (_exchange, isUnprocessed) => options.mayRetry?.(isUnprocessed) ?? true,
      metrics: {
        counter: (name) => ({ add: (by) => void this.counters.set(name, (this.counters.get(name) ?? 0) + by) }),
        gauge: (name, _help, _labels, read) => void this.gauges.set(name, read),
      },
    };
  }

  exchange(options: HarnessOptions = {}): TestExchange {
    return new TestExchange(options, this.clock.nowMs());
  }
}

export class TestExchange implements Exchange {
  readonly connection: ConnectionView;
  requestId = "req-1";
  readonly request: HeaderBlock;
  readonly response = undefined;
  readonly backend: string;
  readonly route: Route | undefined;
  readonly virtualHost: VirtualHost | undefined;
  readonly cluster: Cluster | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly startMs: number;
  isTerminated = false;
  isTunnel = false;
  isUnused = false;
  isAnswered = false;
  readonly isGrpc = false;
  readonly slots: unknown[] = [];
  readonly attempts: Attempt[] = [];
  readonly trace: TraceContext = makeNoTrace();
  readonly requestBytes = 0;
  readonly responseBytes = 0;
  readonly status = 0;
  readonly notes = new Map<string, string | number | boolean>();
  readonly requestTransforms: BodyTransform[] = [];
  readonly responseTransforms: BodyTransform[] = [];
  readonly flags: ResponseFlag[] = [];
  reply: LocalReply | undefined;
  substituted: { readonly head: HeaderBlock; readonly body: Buffer } | undefined;
  diverted: Diversion | undefined;
  isKept = false;
  readonly #options: HarnessOptions;
  resumes = 0;
  allowedPauseMs: number | undefined;
  bytesPerSecond: number | undefined;
  readonly #override: RouteOverride | undefined;
  readonly #isRetriable: ((head: HeaderBlock) => boolean) | undefined;

  constructor(options: HarnessOptions, startMs: number) {
    this.startMs = startMs;
    this.#options = options;
    this.#override = options.override;
    this.#isRetriable = options.isRetriable;
    this.retry = options.retry;
    this.backend = options.backend ?? "";
    this.route = options.route;
    this.virtualHost = options.virtualHost;
    this.cluster =
      options.cluster === undefined ? undefined : ({ name: "backend", metadata: {}, ...options.cluster } as Cluster); // as: tests give what the filter reads
    this.request = HeaderBlock.of([":method", "GET"], [":scheme", "http"], [":authority", "svc"], [":path", "/"]);
    for (const [name, value] of options.headers ?? []) this.request.set(name, value);
    this.connection = {
      direction: options.direction ?? "inbound",
      listener: "test",
      protocol: "http1",
      remoteAddress: options.remoteAddress ?? "127.0.0.1",
      remotePort: 40000,
      localAddress: "127.0.0.1",
      localPort: 15006,
      isTls: options.peerIdentity !== undefined,
      peerIdentity: options.peerIdentity,
      peerCertificatePem: undefined,
      localIdentity: undefined,
    };
  }

  hasRetriableHeaders(head: HeaderBlock): boolean {
    return this.#isRetriable?.(head) === true;
  }

  isRetriable(): boolean {
    return this.#options.mayRepeat ?? true;
  }

  get clientAddress(): string {
    return this.connection.remoteAddress;
  }

  override(): RouteOverride | undefined {
    return this.#override;
  }

  get localReply(): LocalReply | undefined {
    return this.reply;
  }

  substitute(head: HeaderBlock, body: Buffer): void {
    this.substituted = { head, body };
  }

  get isDiverted(): boolean {
    return this.diverted !== undefined;
  }

  keepForAnother(): void {
    this.isKept = true;
  }

  divert(to: Diversion): boolean {
    if (!this.isKept || this.isDiverted) return false;
    this.diverted = to;
    return true;
  }

  answer(reply: LocalReply): void {
    this.reply = reply;
  }

  transformRequest(transform: BodyTransform): void {
    this.requestTransforms.push(transform);
  }

  transformResponse(transform: BodyTransform): void {
    this.responseTransforms.push(transform);
  }

  allowPause(ms: number): void {
    this.allowedPauseMs = ms;
  }

  resume(): boolean {
    this.resumes++;
    this.#options.onResume?.();
    return true;
  }

  paceResponse(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
  }

  flag(flag: ResponseFlag): void {
    this.flags.push(flag);
  }

  note(key: string, value: string | number | boolean): void {
    this.notes.set(key, value);
  }

  /** Adds an attempt that ended so. */
  attempt(outcome: AttemptOutcome): Attempt {
    const attempt: Attempt = { number: this.attempts.length + 1, startMs: 0, endMs: 1, endpoint: undefined, outcome };
    this.attempts.push(attempt);
    return attempt;
  }
}

/** An attempt that was answered. */
export function answered(
  status: number,
  headers: readonly (readonly [string, string])[] = [],
  grpcStatus?: number,
): AttemptOutcome {
  return { kind: "response", status, grpcStatus, head: HeaderBlock.of([":status", String(status)], ...headers) };
}
