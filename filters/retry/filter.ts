// The retry filter: decides after each attempt whether there is another one, and when. Conditions have Envoy's names; where no
// policy says more, only requests that the upstream provably did not process are repeated, once (contracts.md: retries).
import type { RetryPolicy } from "#config/model/route.ts";
import { fullJitterMs } from "#lib/backoff.ts";

import type { Attempt, Exchange, Filter, FilterContext, FilterFactory, RetryVerdict } from "../filter.ts";
import { ConfigReader } from "../parse.ts";

import { isConditionMet } from "./conditions.ts";

export interface RetryConfig {
  /** Conditions apply to idempotent methods (RFC 9110 §9.2.2) or with `Idempotency-Key` alone. Envoy itself does not look at methods. */
  readonly safeOnly: boolean;
  /** Conditions that also repeat other methods. gRPC conditions always do: the user named them. */
  readonly retryOnNonIdempotent: readonly string[];
  /** Retries of provably unprocessed requests where the route has no policy. */
  readonly unprocessedRetries: number;
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
      unprocessedRetries: reader.number("unprocessedRetries", 1, 0, 10),
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
      const wants =
        policy === undefined
          ? isUnprocessed(attempt)
          : isUnprocessed(attempt) || wantsRetry(exchange, attempt, policy, config);
      if (!wants) return undefined;
      const most = policy === undefined ? config.unprocessedRetries : policy.numRetries;
      if (attempt.number > most) {
        if (policy === undefined) return undefined;
        exhausted.add(1);
        return {
          kind: "exhausted",
          flag: "URX",
          reason: `${config.rule === "" ? "the retry policy" : config.rule} allows ${most} retries`,
        };
      }
      if (!context.tryRetry(exchange)) {
        overBudget.add(1);
        return {
          kind: "exhausted",
          flag: "RO",
          reason: `the retry budget of ${exchange.cluster?.name ?? "the cluster"} is spent`,
        };
      }
      retries.add(1);
      const { baseMs, maxMs } = policy?.backoff ?? UNPROCESSED_BACKOFF;
      return { kind: "retry", delayMs: fullJitterMs(attempt.number, baseMs, maxMs, context.random) };
    },
  };
}

function policyOf(exchange: Exchange): RetryPolicy | undefined {
  return exchange.retry;
}

function isUnprocessed(attempt: Attempt): boolean {
  return (
    attempt.outcome?.kind === "failure" &&
    attempt.outcome.isUnprocessed &&
    attempt.outcome.reason !== "no-healthy-endpoint" &&
    attempt.outcome.reason !== "overflow"
  );
}

/** RFC 9110 §9.2.2. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const GRPC_CONDITIONS = new Set(["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]);

function wantsRetry(exchange: Exchange, attempt: Attempt, policy: RetryPolicy, config: RetryConfig): boolean {
  const outcome = attempt.outcome;
  if (outcome === undefined) return false;
  const mayRepeat =
    !config.safeOnly ||
    IDEMPOTENT.has(exchange.request.get(":method") ?? "") ||
    exchange.request.has("idempotency-key");
  for (const condition of policy.retryOn) {
    if (!isConditionMet(condition, outcome, policy, exchange)) continue;
    if (mayRepeat || GRPC_CONDITIONS.has(condition)) return true;
  }
  return (
    !mayRepeat && config.retryOnNonIdempotent.some((condition) => isConditionMet(condition, outcome, policy, exchange))
  );
}
