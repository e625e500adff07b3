import assert from "node:assert/strict";
import { test } from "node:test";

import type { Endpoint } from "#config/model/endpoint.ts";
import type { RetryPolicy } from "#config/model/route.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import type { AttemptFailure, AttemptOutcome, RetryVerdict } from "../filter.ts";
import { answered, FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { retryFilter } from "./filter.ts";

const POLICY: RetryPolicy = {
  retryOn: ["5xx"],
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

function verdicts(outcomes: readonly AttemptOutcome[], options: HarnessOptions, config: object = {}): RetryVerdict[] {
  const bench = new FilterBench();
  const filter = bench.make(retryFilter, { ...config }, options);
  const exchange = bench.exchange(options);
  return outcomes.map((outcome) => filter.onAttemptEnd?.(exchange, exchange.attempt(outcome)));
}

const ENDPOINT: Endpoint = {
  address: "10.0.0.1",
  port: 80,
  hostname: "",
  health: "unknown",
  weight: 1,
  labels: {},
  transportSocket: {},
  mesh: { kind: "none" },
};
const POST: HarnessOptions["headers"] = [[":method", "POST"]];
const REFUSED: AttemptOutcome = { kind: "failure", reason: "refused-stream", isUnprocessed: true, detail: "" };
const RESET: AttemptOutcome = { kind: "failure", reason: "reset", isUnprocessed: false, detail: "" };

test("a 503 to a GET is tried again twice, then the retries are exhausted", () => {
  const said = verdicts([answered(503), answered(503), answered(503)], { retry: POLICY });
  assert.deepEqual(
    said.map((verdict) => verdict?.kind),
    ["retry", "retry", "exhausted"],
  );
  assert.equal(said[2]?.kind === "exhausted" ? said[2].flag : "", "URX");
});

test("an answer that no condition names is passed on", () => {
  assert.deepEqual(verdicts([answered(404)], { retry: POLICY }), [undefined]);
});

test("a POST that may have been executed is not repeated", () => {
  assert.deepEqual(verdicts([answered(503)], { retry: POLICY, headers: POST }), [undefined]);
  assert.deepEqual(verdicts([RESET], { retry: POLICY, headers: POST }), [undefined]);
});

test("a POST with an idempotency key is repeated", () => {
  const said = verdicts([answered(503)], { retry: POLICY, headers: [...(POST ?? []), ["idempotency-key", "k1"]] });
  assert.equal(said[0]?.kind, "retry");
});

test("a POST is repeated on conditions that are listed for it by name", () => {
  const said = verdicts([answered(502)], { retry: POLICY, headers: POST }, { retryOnNonIdempotent: ["gateway-error"] });
  assert.equal(said[0]?.kind, "retry");
});

test("gRPC conditions apply to POST, because the user named them", () => {
  const policy = { ...POLICY, retryOn: ["unavailable"] };
  assert.equal(verdicts([answered(200, [], 14)], { retry: policy, headers: POST })[0]?.kind, "retry");
  assert.deepEqual(verdicts([answered(200, [], 3)], { retry: policy, headers: POST }), [undefined]);
});

test("without any policy a provably unprocessed request is repeated once, whatever its method", () => {
  const said = verdicts([REFUSED, REFUSED], { headers: POST });
  assert.deepEqual(
    said.map((verdict) => verdict?.kind),
    ["retry", undefined],
  );
  assert.deepEqual(verdicts([RESET], {}), [undefined]);
});

test("it is repeated as long as that finds other endpoints, and not for seconds", () => {
  const kindsAt = (ports: readonly number[], stepMs: number): (string | undefined)[] => {
    const bench = new FilterBench();
    const filter = bench.make(retryFilter, {}, {});
    const exchange = bench.exchange({ headers: POST });
    return ports.map((port) => {
      bench.clock.advance(stepMs);
      const attempt = exchange.attempt(REFUSED);
      attempt.endpoint = { ...ENDPOINT, port };
      return filter.onAttemptEnd?.(exchange, attempt)?.kind;
    });
  };
  assert.deepEqual(kindsAt([1, 2, 3, 2], 10), ["retry", "retry", "retry", undefined]);
  assert.deepEqual(kindsAt([1, 2, 3, 4], 2000), ["retry", "retry", undefined, undefined]);
  assert.equal(kindsAt([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 10).at(-1), undefined);
});

test("an answer that its sidecar vouches for as unprocessed is repeated, and has more room than the budget", () => {
  const head = HeaderBlock.of([":status", "503"]);
  const unprocessed = { kind: "response", status: 503, grpcStatus: undefined, head, isUnprocessed: true } as const;
  const asked: boolean[] = [];
  const mayRetry = (isUnprocessed: boolean): boolean => asked.push(isUnprocessed) > 0;
  assert.equal(verdicts([unprocessed], { headers: POST, mayRetry })[0]?.kind, "retry");
  assert.equal(verdicts([answered(503)], { retry: POLICY, mayRetry })[0]?.kind, "retry");
  assert.deepEqual(asked, [true, false]);
});

test("a spent budget stops the retry and says so", () => {
  const said = verdicts([answered(503)], { retry: POLICY, mayRetry: () => false })[0];
  assert.deepEqual(said?.kind === "exhausted" ? said.flag : undefined, "RO");
});

test("backoff is exponential with full jitter", () => {
  const policy = { ...POLICY, numRetries: 6 };
  const said = verdicts(
    Array.from({ length: 6 }, () => answered(503)),
    { retry: policy, random: { next: () => 0.999999 } },
  );
  const delays = said.map((verdict) => (verdict?.kind === "retry" ? Math.round(verdict.delayMs) : -1));
  assert.deepEqual(delays, [25, 75, 175, 250, 250, 250]);
});

test("an envoy-ratelimited 503 is repeated under that condition alone", () => {
  const limited = answered(503, [["x-envoy-ratelimited", "true"]]);
  for (const condition of ["5xx", "gateway-error", "retriable-status-codes", "retriable-headers"]) {
    const retry = { ...POLICY, retryOn: [condition], retriableStatusCodes: [503] };
    assert.deepEqual(verdicts([limited], { retry, isRetriable: () => true }), [undefined], condition);
  }
  assert.equal(verdicts([limited], { retry: { ...POLICY, retryOn: ["envoy-ratelimited"] } })[0]?.kind, "retry");
});

test("each condition holds for what Envoy means by it", () => {
  const failed = (reason: AttemptFailure): AttemptOutcome => ({
    kind: "failure",
    reason,
    isUnprocessed: false,
    detail: "",
  });
  const all: readonly AttemptFailure[] = [
    "connect-failure",
    "connect-timeout",
    "tls",
    "refused-stream",
    "reset",
    "reset-before-request",
    "protocol",
    "per-try-timeout",
    "unsayable",
    "no-healthy-endpoint",
    "overflow",
  ];
  const met = (condition: string): readonly string[] =>
    all.filter((reason) => verdicts([failed(reason)], { retry: { ...POLICY, retryOn: [condition] } })[0] !== undefined);
  const everything = all.slice(0, 8);
  assert.deepEqual(met("5xx"), everything);
  assert.deepEqual(met("gateway-error"), everything);
  assert.deepEqual(met("reset"), everything);
  assert.deepEqual(met("reset-before-request"), ["connect-failure", "connect-timeout", "tls", "reset-before-request"]);
  assert.deepEqual(met("connect-failure"), ["connect-failure", "connect-timeout", "tls"]);
  assert.deepEqual(met("refused-stream"), ["refused-stream"]);
  assert.deepEqual(met("retriable-4xx"), []);
});

test("a request without the header that the policy is for is not repeated", () => {
  assert.deepEqual(verdicts([answered(503)], { retry: POLICY, mayRepeat: false }), [undefined]);
});

const RETRY_AFTER: RetryPolicy = {
  ...POLICY,
  rateLimitedBackoff: { resetHeaders: [{ name: "retry-after", format: "seconds" }], maxMs: 10_000 },
};

function delayOf(value: string, policy = RETRY_AFTER, config: object = {}): number | string {
  const [verdict] = verdicts(
    [answered(503, [["retry-after", value]])],
    { retry: policy, random: { next: () => 0.5 } },
    config,
  );
  return verdict?.kind === "retry" ? verdict.delayMs : (verdict?.kind ?? "passed on");
}

test("Retry-After is waited for in both forms, and up to half as long again", () => {
  assert.equal(delayOf("4"), 5000);
  const date = new Date(new FilterBench().clock.wallMs() + 8000).toUTCString();
  const delay = delayOf(date);
  assert.ok(typeof delay === "number" && delay > 8000 && delay <= 12_000, String(delay));
});

test("a Retry-After of nothing, in the past or that cannot be read leaves the usual pause", () => {
  for (const value of ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"]) assert.equal(delayOf(value), 12.5, value);
});

test("a Retry-After above the maximum leaves the usual pause, as Envoy, or is passed on where the policy is ours", () => {
  assert.equal(delayOf("11"), 12.5);
  assert.equal(delayOf("11", RETRY_AFTER, { isLateAnswered: true }), "passed on");
});

test("of several reset headers the first that can be waited for counts; a moment is Unix time", () => {
  const nowMs = new FilterBench().clock.wallMs();
  const policy: RetryPolicy = {
    ...POLICY,
    rateLimitedBackoff: {
      resetHeaders: [
        { name: "retry-after", format: "seconds" },
        { name: "x-reset", format: "unixTimestamp" },
      ],
      maxMs: 10_000,
    },
  };
  const head: [string, string][] = [
    ["retry-after", "60"],
    ["x-reset", String(Math.floor(nowMs / 1000) + 5)],
  ];
  const [verdict] = verdicts([answered(503, head)], { retry: policy, random: { next: () => 0 } });
  assert.ok(verdict?.kind === "retry" && Math.abs(verdict.delayMs - 5000) < 1000);
});
