// The retry filter: decides after each attempt whether there is another one, and when. Conditions have Envoy's names; where no
// policy says more, only requests that the upstream provably did not process are repeated: once, and as long as there are instances
// that were not asked yet (contracts.md: retries).
import type { RetryPolicy } from "#config/model/route.ts";
import { fullJitterMs, lowerJitterMs } from "#lib/backoff.ts";
import { isIdempotent } from "#lib/http/idempotent.ts";

import type { Attempt, Exchange, Filter, FilterContext, FilterFactory, RetryVerdict } from "../filter.ts";
import { ConfigReader } from "../parse.ts";

import { isConditionMet } from "./conditions.ts";
import { askedWait } from "./asked-wait.ts";

export interface RetryConfig {
  /** Conditions apply to idempotent methods (RFC 9110 §9.2.2) or with `Idempotency-Key` alone. Envoy itself does not look at methods. */
  readonly safeOnly: boolean;
  /** Conditions that also repeat other methods. gRPC conditions always do: the user named them. */
  readonly retryOnNonIdempotent: readonly string[];
  /** Retries of provably unprocessed requests where the route has no policy, at most; those beyond the first only on other endpoints. */
  readonly unprocessedRetries: number;
  /** An answer that asks for a longer wait than the policy allows is passed on, instead of repeated after the usual pause (Envoy). */
  readonly isLateAnswered: boolean;
  /** The rule's name, for the answer and the record. */
  readonly rule: string;
}

const TYPE_URL = "type.googleapis.com/heddle.filters.retry.v1.Retry";

export const retryFilter = {
  name: "heddle.retry",
  typeUrls: [TYPE_URL],
  failureMode: "open",
  perRoute: "settings",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const config = {
      safeOnly: reader.boolean("safeOnly", true),
      retryOnNonIdempotent: reader.strings("retryOnNonIdempotent"),
      unprocessedRetries: reader.number("unprocessedRetries", 10, 0, 10),
      isLateAnswered: reader.boolean("isLateAnswered", false),
      rule: reader.string("rule", ""),
    };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<RetryConfig>;

const UNPROCESSED_BACKOFF = { baseMs: 25, maxMs: 250 };
/** An endpoint that is gone may take seconds to say so: what has waited for so long is not sent to the next one. */
const UNPROCESSED_MS = 5000;

function makeFilter(base: RetryConfig, context: FilterContext): Filter {
  const labels = { listener: context.listener };
  const retries = context.metrics.counter("heddle_retries_total", "Attempts beyond the first.", labels);
  const exhausted = context.metrics.counter(
    "heddle_retries_exhausted_total",
    "Requests whose retries were used up.",
    labels,
  );
  const overBudget = context.metrics.counter(
    "heddle_retries_over_budget_total",
    "Retries that the budget or the limit of the cluster refused.",
    labels,
  );
  return {
    name: context.name,
    onAttemptEnd(exchange, attempt): RetryVerdict {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true) return undefined;
      const config = override === undefined ? base : (override.config as RetryConfig); // as: parse made it
      const policy = policyOf(exchange);
      const unprocessed = isUnprocessed(attempt);
      if (policy === undefined) {
        if (!unprocessed || attempt.number > config.unprocessedRetries) return undefined;
        if (attempt.number > 1 && !goesOn(exchange, attempt, context.clock.nowMs())) return undefined;
      } else if (!unprocessed && !wantsRetry(exchange, attempt, policy, config)) return undefined;
      const most = policy?.numRetries ?? config.unprocessedRetries;
      if (attempt.number > most) {
        exhausted.add(1);
        return {
          kind: "exhausted",
          flag: "URX",
          reason: `${config.rule === "" ? "the retry policy" : config.rule} allows ${most} retries`,
        };
      }
      const wait = policy === undefined || unprocessed ? undefined : askedWait(policy, attempt, context.clock.wallMs());
      if (wait === "too late" && config.isLateAnswered) {
        exchange.note("retry_after_late", "the answer asks for a longer wait than the retry policy allows");
        return undefined;
      }
      if (!context.tryRetry(exchange, unprocessed)) {
        overBudget.add(1);
        return {
          kind: "exhausted",
          flag: "RO",
          reason: `the retry budget of ${exchange.cluster?.name ?? "the cluster"} is spent`,
        };
      }
      retries.add(1);
      if (typeof wait === "number")
        return { kind: "retry", delayMs: lowerJitterMs(wait, context.random), isAsked: true };
      const { baseMs, maxMs } = policy?.backoff ?? UNPROCESSED_BACKOFF;
      return { kind: "retry", delayMs: fullJitterMs(attempt.number, baseMs, maxMs, context.random) };
    },
  };
}

function policyOf(exchange: Exchange): RetryPolicy | undefined {
  return exchange.retry;
}

function isUnprocessed({ outcome }: Attempt): boolean {
  if (outcome?.kind === "response") return outcome.isUnprocessed === true;
  return outcome?.isUnprocessed === true && outcome.reason !== "no-healthy-endpoint" && outcome.reason !== "overflow";
}

/** Without a policy: whether there may be an endpoint that was not asked yet. The balancer repeats one only when there is none. */
function goesOn(exchange: Exchange, { endpoint }: Attempt, nowMs: number): boolean {
  if (nowMs - exchange.startMs > UNPROCESSED_MS) return false;
  const others = exchange.attempts.slice(0, -1);
  return !others.some(
    (other) => other.endpoint?.address === endpoint?.address && other.endpoint?.port === endpoint?.port,
  );
}

const GRPC_CONDITIONS = new Set(["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]);

function wantsRetry(exchange: Exchange, attempt: Attempt, policy: RetryPolicy, config: RetryConfig): boolean {
  const outcome = attempt.outcome;
  if (outcome === undefined || !exchange.isRetriable()) return false;
  for (const condition of policy.retryOn) {
    if (!isConditionMet(condition, outcome, policy, exchange)) continue;
    if (GRPC_CONDITIONS.has(condition) || mayRepeat(exchange, config)) return true;
  }
  for (const condition of config.retryOnNonIdempotent)
    if (isConditionMet(condition, outcome, policy, exchange) && !mayRepeat(exchange, config)) return true;
  return false;
}

function mayRepeat({ request }: Exchange, { safeOnly }: RetryConfig): boolean {
  return !safeOnly || isIdempotent(request);
}
