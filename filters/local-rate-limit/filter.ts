// The rate-limit filter: buckets of this proxy, by descriptor or key where asked, exact among its workers.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { isDrawn } from "#lib/random.ts";

import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
  type Verdict,
} from "../filter.ts";

import { addHeaders } from "../header-additions.ts";
import {
  ENVOY_LOCAL_RATE_LIMIT,
  HEDDLE_RATE_LIMIT,
  parseRateLimit,
  type EnvoyRateLimit,
  type RateLimitConfig,
} from "./config.ts";
import { BucketCounters } from "./counters.ts";
import { makeEnvoyLimiter } from "./envoy-limiter.ts";
import { headersOf, refusalOf } from "./headers.ts";
import type { Limiter, Outcome, Standing, Taken } from "./limiter.ts";
import { makeOwnLimiter } from "./own-limiter.ts";
import { WaitingRoom, type Waiter } from "./waiting.ts";

export const localRateLimitFilter = {
  name: "envoy.filters.http.local_ratelimit",
  typeUrls: [ENVOY_LOCAL_RATE_LIMIT, HEDDLE_RATE_LIMIT],
  failureMode: "open",
  perRoute: "settings",
  parse: parseRateLimit,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<RateLimitConfig>;

/** Of one request; absent where nothing is left to do for it. */
interface Limited {
  /** Shown with the answer. */
  readonly standing: Standing | undefined;
  /** Put back if a tunnel was opened in vain. */
  readonly taken: readonly Taken[];
  waiter: Waiter | undefined;
}

interface Compiled {
  readonly config: RateLimitConfig;
  readonly limiter: Limiter;
}

function makeFilter(base: RateLimitConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const { clock } = context;
  const counters = new BucketCounters(context);
  const compiled = new WeakMap<RateLimitConfig, Compiled>();
  let room: WaitingRoom | undefined;
  const compile = (config: RateLimitConfig, owner: string): Compiled => {
    let found = compiled.get(config);
    if (found === undefined) {
      const limiter =
        config.kind === "own"
          ? makeOwnLimiter(config, context, counters)
          : makeEnvoyLimiter(config, nameOf(config, owner, context), context, counters);
      found = { config, limiter };
      compiled.set(config, found);
    }
    return found;
  };
  return {
    name: context.name,
    onRouted(exchange) {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true) return CONTINUE;
      const { config, limiter } =
        override === undefined ? compile(base, "") : compile(override.config as RateLimitConfig, override.owner ?? ""); // as: parse made it
      if (config.kind === "envoy" && !isDrawn(config.enabled, context.random)) return CONTINUE;
      const nowMs = clock.nowMs();
      const outcome = limiter.check(exchange, nowMs);
      if (!outcome.isAllowed) return onLimited(exchange, config, outcome);
      return onAllowed(exchange, config, outcome, nowMs);
    },
    onResponseHead(exchange, head) {
      const standing = limitedOf(exchange, slot)?.standing;
      if (standing !== undefined) show(head, standing);
      return CONTINUE;
    },
    onDone(exchange) {
      const limited = limitedOf(exchange, slot);
      if (limited === undefined) return;
      if (limited.waiter !== undefined) {
        room?.leave(limited.waiter);
        limited.waiter = undefined;
        return;
      }
      if (!exchange.isUnused) return;
      const nowMs = clock.nowMs();
      for (const { buckets, key, untilMs } of limited.taken) if (nowMs < untilMs) buckets.giveBack(key, nowMs);
    },
  };

  function onAllowed(exchange: Exchange, config: RateLimitConfig, outcome: Outcome, nowMs: number): Verdict {
    const { wait, taken } = outcome;
    const standing = config.hasHeaders ? outcome.standing : undefined;
    const mayGiveBack = exchange.isTerminated && taken.length > 0;
    if (standing === undefined && wait === undefined && !mayGiveBack) return CONTINUE;
    const limited: Limited = { standing, taken: mayGiveBack ? taken : NOTHING, waiter: undefined };
    exchange.slots[slot] = limited;
    if (wait === undefined) return CONTINUE;
    exchange.note("rate_limit_wait_ms", Math.round(wait.waitMs));
    limited.waiter = {
      wait,
      resume: () => {
        limited.waiter = undefined;
        exchange.resume();
      },
    };
    room ??= new WaitingRoom(clock);
    room.enter(limited.waiter, nowMs);
    return PAUSE;
  }

  function onLimited(exchange: Exchange, config: RateLimitConfig, { standing }: Outcome): Verdict {
    if (standing === undefined) return CONTINUE;
    if (config.kind === "envoy" && !isDrawn(config.enforced, context.random)) {
      addHeaders(exchange.request, config.requestHeadersWhenNotEnforced);
      if (config.hasHeaders) exchange.slots[slot] = { standing, taken: NOTHING, waiter: undefined } satisfies Limited;
      return CONTINUE;
    }
    counters.enforced.add(1);
    exchange.answer(refusalOf(standing, config));
    return ANSWERED;
  }
}

const NOTHING: readonly Taken[] = [];

function show(head: HeaderBlock, standing: Standing): void {
  for (const [name, value] of headersOf(standing)) head.set(name, value);
}

function limitedOf(exchange: Exchange, slot: number): Limited | undefined {
  return exchange.slots[slot] as Limited | undefined; // as: only this filter writes its slot
}

/** A policy's bucket is one in the whole proxy; of two routes that say the same each has its own, as in Envoy. */
function nameOf({ rule }: EnvoyRateLimit, owner: string, context: FilterContext): string {
  return rule.startsWith("RateLimitPolicy ") ? rule : `${context.listener}/${owner}/${rule}`;
}
