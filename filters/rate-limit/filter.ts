// The global rate limit: asks a service that counts for all proxies (Envoy's protocol, service.ratelimit.v3), and does what it says.
import { isDrawn } from "#lib/random.ts";

import { RequestDescriber, type Descriptor } from "../descriptors/describe.ts";
import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
  type LocalReply,
  type Verdict,
} from "../filter.ts";
import {
  HEDDLE_GLOBAL_RATE_LIMIT,
  HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE,
  parseRateLimitSettings,
  RATE_LIMIT,
  RATE_LIMIT_PER_ROUTE,
  type GlobalRateLimit,
  type LimitManner,
  type RateLimitSettings,
  type RouteRateLimit,
} from "./config.ts";
import { describeLimits, retryAfterOf } from "./headers.ts";
import { RateLimitService, type ServiceAnswer } from "./service.ts";

export const rateLimitFilter = {
  name: "envoy.filters.http.ratelimit",
  typeUrls: [RATE_LIMIT, RATE_LIMIT_PER_ROUTE, HEDDLE_GLOBAL_RATE_LIMIT, HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE],
  failureMode: "open",
  perRoute: "settings",
  parse: parseRateLimitSettings,
  make(config, context) {
    // What a route says alone names no service.
    return config.kind === "filter" ? makeFilter(config, context) : { name: context.name };
  },
} satisfies FilterFactory<RateLimitSettings>;

/** Of a request that was asked about. */
interface Asked {
  /** Gives the call up; undefined: it is over. */
  cancel: (() => void) | undefined;
  /** For the answer's head. */
  headers: readonly (readonly [name: string, value: string])[];
  /** The rule's, or the filter's. */
  readonly manner: LimitManner;
}

type Headers = Asked["headers"];

function makeFilter(config: GlobalRateLimit, context: FilterContext): Filter {
  const slot = context.slot();
  const service = context.keep(
    `rate-limit-service/${config.cluster}`,
    "",
    () => new RateLimitService(context, config.cluster),
  );
  const base = new RequestDescriber(config.rateLimits, config.stage, context.localCluster);
  const ofRoutes = new WeakMap<RouteRateLimit, RequestDescriber>();
  const count = makeCounters(config, context);

  const describe = (exchange: Exchange, route: RouteRateLimit | undefined): readonly Descriptor[] => {
    if (route?.rateLimits === undefined) return base.describe(exchange, route?.virtualHostLimits ?? "OVERRIDE");
    let own = ofRoutes.get(route);
    if (own === undefined) ofRoutes.set(route, (own = new RequestDescriber(route.rateLimits, 0, context.localCluster)));
    return own.describe(exchange, route.virtualHostLimits);
  };

  /** Undefined: the request goes on. */
  const settle = (exchange: Exchange, asked: Asked, answer: ServiceAnswer): LocalReply | undefined => {
    if (answer.code === "failed") {
      count.error.add(1);
      exchange.note("rate_limit_error", answer.reason);
      if (isDrawn(config.denied, context.random)) return replyFailed(config, answer.reason);
      count.allowed.add(1);
      return undefined;
    }
    const shown = asked.manner.hasHeaders ? describeLimits(answer.statuses) : NO_HEADERS;
    if (answer.code === "overLimit") {
      count.overLimit.add(1);
      if (isDrawn(config.enforced, context.random)) return replyOverLimit(config, asked.manner, answer, shown);
    } else count.ok.add(1);
    for (const [name, value] of answer.requestHeaders) exchange.request.add(name, value);
    asked.headers = [...shown, ...answer.responseHeaders];
    return undefined;
  };

  return {
    name: context.name,
    onRouted(exchange): Verdict {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true || !isAsked(config, exchange, context)) return CONTINUE;
      const settings = override?.config as RateLimitSettings | undefined; // as: parse made it
      const route = settings?.kind === "route" ? settings : undefined;
      const descriptors = describe(exchange, route);
      if (descriptors.length === 0) return CONTINUE;
      const asked: Asked = { cancel: undefined, headers: NO_HEADERS, manner: route?.manner ?? config };
      exchange.slots[slot] = asked;
      const domain = route === undefined || route.domain === "" ? config.domain : route.domain;
      let verdict: Verdict | undefined;
      let isPaused = false;
      const cancel = service.ask(
        { domain, authority: config.authority, timeoutMs: config.timeoutMs, descriptors },
        (answer) => {
          asked.cancel = undefined;
          const reply = settle(exchange, asked, answer);
          if (reply !== undefined) exchange.answer(reply);
          if (isPaused && reply === undefined) exchange.resume();
          else verdict = reply === undefined ? CONTINUE : ANSWERED;
        },
      );
      if (verdict !== undefined) return verdict;
      isPaused = true;
      asked.cancel = cancel;
      exchange.allowPause(config.timeoutMs + PAUSE_GRACE_MS);
      return PAUSE;
    },
    onResponseHead(exchange, head) {
      for (const [name, value] of askedOf(exchange, slot)?.headers ?? NO_HEADERS) head.add(name, value);
      return CONTINUE;
    },
    onDone(exchange) {
      const asked = askedOf(exchange, slot);
      asked?.cancel?.();
      if (asked !== undefined) asked.cancel = undefined;
    },
  };
}

const NO_HEADERS: Headers = [];
/** The call's own timeout ends a pause; this is for a call that never ends. */
const PAUSE_GRACE_MS = 1000;

function askedOf(exchange: Exchange, slot: number): Asked | undefined {
  return exchange.slots[slot] as Asked | undefined; // as: only this filter writes its slot
}

/** Only what goes upstream, as in Envoy; `x-envoy-internal: true` tells an internal request. */
function isAsked(config: GlobalRateLimit, exchange: Exchange, context: FilterContext): boolean {
  if (exchange.cluster === undefined || exchange.route?.action.kind !== "forward") return false;
  if (config.requestType !== "both") {
    const isInternal = exchange.request.get("x-envoy-internal") === "true";
    if (isInternal !== (config.requestType === "internal")) return false;
  }
  return isDrawn(config.enabled, context.random);
}

function makeCounters(config: GlobalRateLimit, context: FilterContext) {
  const counter = (result: string) =>
    context.metrics.counter("heddle_rate_limit_service_total", "What the rate-limit service said of requests.", {
      listener: context.listener,
      domain: config.domain,
      result,
    });
  return {
    ok: counter("ok"),
    overLimit: counter("over_limit"),
    error: counter("error"),
    allowed: counter("failure_mode_allowed"),
  };
}

function replyOverLimit(
  config: GlobalRateLimit,
  { grpcStatus }: LimitManner,
  answer: Exclude<ServiceAnswer, { code: "failed" }>,
  shown: Headers,
): LocalReply {
  const seconds = retryAfterOf(answer.statuses);
  return {
    status: config.status,
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    flag: "RL",
    code: "rate_limited",
    proxyStatus: "http_request_denied",
    detail: `the rate-limit service says that the limit of domain "${config.domain}" is reached`,
    rule: `rate limit ${config.domain}`,
    headers: [
      ...(seconds === undefined ? [] : ([["retry-after", String(seconds)]] as const)),
      ...shown,
      ...(config.saysLimited ? ([["x-envoy-ratelimited", "true"]] as const) : []),
      ...answer.responseHeaders,
      ...config.responseHeaders.map(({ name, value }) => [name, value] as const),
    ],
  };
}

function replyFailed(config: GlobalRateLimit, reason: string): LocalReply {
  return {
    status: config.statusOnError,
    flag: "RLSE",
    code: "rate_limit_error",
    proxyStatus: "proxy_internal_error",
    detail: `the rate-limit service could not be asked: ${reason}`,
    rule: `rate limit ${config.domain}`,
  };
}
