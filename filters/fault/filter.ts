// The fault filter: delays, aborts and slow answers on purpose, to see what callers make of them.
//
// Faults of one list are drawn each on its own: delays add up, the first abort decides, the lowest rate holds. As in Envoy an abort
// comes behind the delay, and both once for a request, before limits and retries; the route's timeout begins behind the delay.
import type { Fraction } from "#config/model/matcher.ts";
import type { Timer } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { isDrawn, type Random } from "#lib/random.ts";

import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
  type LocalReply,
  type SharedCounts,
} from "../filter.ts";
import { compileHeader, type HeaderTest } from "../matchers.ts";
import { ENVOY_FAULT, HEDDLE_FAULTS, parseFaults, type Fault, type FaultAnswer, type FaultConfig } from "./config.ts";

export const faultFilter = {
  name: "envoy.filters.http.fault",
  typeUrls: [ENVOY_FAULT, HEDDLE_FAULTS],
  failureMode: "open",
  perRoute: "settings",
  parse: parseFaults,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<FaultConfig>;

/** Twelve days: Node's timers are not good for more than twice that. */
const MAX_DELAY_MS = 2 ** 30;

interface CompiledFaults {
  readonly config: FaultConfig;
  readonly faults: readonly CompiledFault[];
  /** One count: requests with a fault now. Undefined where nothing bounds them. */
  readonly active: SharedCounts | undefined;
}

interface CompiledFault {
  readonly fault: Fault;
  readonly headers: readonly HeaderTest[];
  readonly matches: readonly (readonly HeaderTest[])[];
}

/** What one exchange holds until it ends. */
interface Injected {
  timer: Timer | undefined;
  readonly active: SharedCounts | undefined;
}

function makeFilter(base: FaultConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const { random, clock } = context;
  const compiled = new WeakMap<FaultConfig, CompiledFaults>();
  const count = (kind: string) =>
    context.metrics.counter("heddle_faults_injected_total", "Faults that were injected, by kind.", {
      listener: context.listener,
      kind,
    });
  const delays = count("delay");
  const aborts = count("abort");
  const rateLimits = count("response_rate_limit");
  const overflows = context.metrics.counter(
    "heddle_faults_overflow_total",
    "Requests without a fault because as many as may be had one already.",
    { listener: context.listener },
  );
  const compile = (config: FaultConfig): CompiledFaults => {
    let faults = compiled.get(config);
    if (faults === undefined) {
      faults = compileFaults(config, context);
      compiled.set(config, faults);
    }
    return faults;
  };

  return {
    name: context.name,
    onRouted(exchange, head) {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true || exchange.isTerminated) return CONTINUE;
      // as: what the same factory parsed
      const { config, faults, active } = compile((override?.config as FaultConfig | undefined) ?? base);
      if (faults.length === 0) return CONTINUE;
      if (active !== undefined && Atomics.load(active.total, 0) >= config.maxActive) {
        overflows.add(1);
        return CONTINUE;
      }
      let delayMs = 0;
      let kibps = Number.POSITIVE_INFINITY;
      let answer: FaultAnswer | undefined;
      for (let i = 0; i < faults.length; i++) {
        const one = faults[i];
        if (one === undefined || !isMeant(one, exchange, head)) continue;
        const { share, delay, abort, rateLimit } = one.fault;
        if (share !== undefined && !isDrawn(share, random)) continue;
        if (rateLimit !== undefined) kibps = Math.min(kibps, rateOf(rateLimit, head, random));
        if (delay !== undefined) delayMs += delayOf(delay, head, random);
        if (abort !== undefined) answer ??= answerOf(abort, head, random);
      }
      if (delayMs === 0 && answer === undefined && kibps === Number.POSITIVE_INFINITY) return CONTINUE;
      if (active !== undefined) addActive(active, 1);
      const injected: Injected = { timer: undefined, active };
      exchange.slots[slot] = injected;
      if (kibps !== Number.POSITIVE_INFINITY) {
        rateLimits.add(1);
        exchange.note("fault_rate_limit_kibps", kibps);
        exchange.paceResponse(kibps * 1024);
      }
      if (delayMs === 0) {
        if (answer === undefined) return CONTINUE;
        aborts.add(1);
        exchange.answer(replyAbort(config.rule, answer));
        return ANSWERED;
      }
      delayMs = Math.min(delayMs, MAX_DELAY_MS);
      delays.add(1);
      exchange.flag("DI");
      exchange.note("fault_delay_ms", delayMs);
      exchange.allowPause(delayMs);
      injected.timer = clock.setTimer(delayMs, () => {
        injected.timer = undefined;
        if (answer === undefined) exchange.resume();
        else {
          aborts.add(1);
          exchange.answer(replyAbort(config.rule, answer));
        }
      });
      return PAUSE;
    },
    onDone(exchange) {
      const injected = exchange.slots[slot] as Injected | undefined; // as: only this filter writes its slot
      if (injected === undefined) return;
      injected.timer?.cancel();
      if (injected.active !== undefined) addActive(injected.active, -1);
    },
  };
}

function addActive({ total, own }: SharedCounts, by: number): void {
  own[0] = (own[0] ?? 0) + by;
  Atomics.add(total, 0, by);
}

function compileFaults(config: FaultConfig, context: FilterContext): CompiledFaults {
  return {
    config,
    faults: config.faults.map((fault) => ({
      fault,
      headers: fault.headers.map(compileHeader),
      matches: fault.matches.map((headers) => headers.map(compileHeader)),
    })),
    active:
      config.maxActive === Number.POSITIVE_INFINITY
        ? undefined
        : context.shares(`fault/${config.rule === "" ? context.listener : config.rule}`, 1),
  };
}

function isMeant({ fault, headers, matches }: CompiledFault, exchange: Exchange, head: HeaderBlock): boolean {
  if (!matchesAll(headers, head)) return false;
  if (matches.length > 0 && !matches.some((tests) => matchesAll(tests, head))) return false;
  if (fault.upstreamCluster !== "" && exchange.cluster?.name !== fault.upstreamCluster) return false;
  if (fault.downstreamNodes.length === 0) return true;
  return fault.downstreamNodes.includes(head.get("x-envoy-downstream-service-node") ?? "");
}

function matchesAll(tests: readonly HeaderTest[], head: HeaderBlock): boolean {
  for (let i = 0; i < tests.length; i++) if (tests[i]?.matches(head) !== true) return false;
  return true;
}

/** Ms; 0 = none. */
function delayOf({ ms, share }: NonNullable<Fault["delay"]>, head: HeaderBlock, random: Random): number {
  if (ms !== "header") return isDrawn(share, random) ? ms : 0;
  const asked = numberIn(head, "x-envoy-fault-delay-request");
  if (asked === undefined) return 0;
  return isDrawn(shareIn(head, "x-envoy-fault-delay-request-percentage", share), random) ? asked : 0;
}

function answerOf(abort: NonNullable<Fault["abort"]>, head: HeaderBlock, random: Random): FaultAnswer | undefined {
  if (abort.with !== "header") return isDrawn(abort.share, random) ? abort.with : undefined;
  const http = numberIn(head, "x-envoy-fault-abort-request");
  const grpc = numberIn(head, "x-envoy-fault-abort-grpc-request");
  const isHttp = http !== undefined && http >= 200 && http < 600;
  if (!isHttp && grpc === undefined) return undefined;
  if (!isDrawn(shareIn(head, "x-envoy-fault-abort-request-percentage", abort.share), random)) return undefined;
  return isHttp ? { kind: "http", status: http } : { kind: "grpc", status: grpc ?? 0 };
}

/** KiB a second; Infinity = as fast as it comes. */
function rateOf({ kibps, share }: NonNullable<Fault["rateLimit"]>, head: HeaderBlock, random: Random): number {
  if (kibps !== "header") return isDrawn(share, random) ? kibps : Number.POSITIVE_INFINITY;
  const asked = numberIn(head, "x-envoy-fault-throughput-response") ?? 0;
  if (asked === 0) return Number.POSITIVE_INFINITY;
  return isDrawn(shareIn(head, "x-envoy-fault-throughput-response-percentage", share), random)
    ? asked
    : Number.POSITIVE_INFINITY;
}

/** A whole number in a header that anybody can have written. */
function numberIn(head: HeaderBlock, name: string): number | undefined {
  const value = head.get(name);
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** What the request asks for, at most what is configured. */
function shareIn(head: HeaderBlock, name: string, share: Fraction): Fraction {
  const numerator = numberIn(head, name);
  return numerator === undefined || numerator >= share.numerator ? share : { ...share, numerator };
}

function replyAbort(rule: string, answer: FaultAnswer): LocalReply {
  const isGrpc = answer.kind === "grpc";
  const what = isGrpc ? `the gRPC status ${answer.status}` : `the status ${answer.status}`;
  return {
    // As in Envoy: who did not speak gRPC is not told of an error.
    status: isGrpc ? 200 : answer.status,
    ...(isGrpc ? { grpcStatus: answer.status } : {}),
    flag: "FI",
    code: "fault_injected",
    proxyStatus: "proxy_internal_response",
    detail: `${rule === "" ? "the fault filter" : rule} answers with ${what} on purpose`,
    rule,
  };
}
