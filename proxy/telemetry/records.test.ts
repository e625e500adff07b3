// What is kept of exchanges: explain records, spans, findings, and who makes them.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";

import { silentLog } from "#lib/log.ts";
import { ExchangeBench, type BenchOptions } from "#proxy/stream/testing/bench.ts";

import { LineFile } from "./access-log.ts";
import { ExchangeRecorder } from "./exchange-recorder.ts";
import { Metrics, renderPrometheus } from "./metrics.ts";
import { ExplainRing, makeExplainRecord, makeSpanRecord, type SpanRecord } from "./records.ts";
import { describeFindings, TraceWatch } from "./trace-watch.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

function filter(name: string, message: string, config = {}): NonNullable<BenchOptions["filters"]>[number] {
  const typeUrl = `type.googleapis.com/heddle.filters.${message}`;
  return { name, typeUrl, config, disabled: false, isOptional: false };
}

const RETRY = filter("heddle.retry", "retry.v1.Retry");
const TRACING = filter("heddle.tracing", "trace_context.v1.TraceContext", { samplingPercent: 0 });

/** A request that failed, was repeated, and succeeded. */
function repeated(): ExchangeBench {
  const bench = new ExchangeBench({ filters: [TRACING, RETRY], retry: {} });
  bench.request(
    "GET",
    "/a?secret=1",
    true,
    ["traceparent", `00-${TRACE}-${SPAN}-01`],
    ["tracestate", "v=1"],
    ["x-request-id", "id-1"],
  );
  bench.clock.advance(5);
  bench.attempt.answer(503, "no");
  while (bench.attempts.length < 2) bench.clock.advance(1);
  bench.clock.advance(2);
  bench.attempt.answer(200, "yes");
  return bench;
}

function exchangeOf(bench: ExchangeBench) {
  const [exchange] = bench.done;
  assert.ok(exchange);
  return exchange;
}

describe("an explain record", () => {
  it("says what each attempt got, and survives a structured clone", () => {
    const record = makeExplainRecord(exchangeOf(repeated()));
    assert.deepEqual(structuredClone(record), record);
    assert.equal(record.requestId, "id-1");
    assert.equal(record.status, 200);
    assert.equal(record.route, "HTTPRoute shop/test rule 0");
    assert.equal(record.configVersion, "7");
    assert.equal(record.attempts.length, 2);
    assert.deepEqual(
      record.attempts.map(({ outcome, endpoint }) => [outcome, endpoint]),
      [
        ["503", "10.0.0.1:80"],
        ["200", "10.0.0.1:81"],
      ],
    );
    assert.equal(record.attempts[0]?.durationMs, 5);
  });

  it("has the code, the sentence and the rule of an answer of our own", () => {
    const bench = new ExchangeBench({ pickFailure: "cluster-empty" });
    bench.request("GET", "/a", true);
    const record = makeExplainRecord(exchangeOf(bench));
    assert.deepEqual([record.code, record.flags, record.status], ["no_healthy_upstream", ["UH"], 503]);
    assert.match(record.detail ?? "", /backend has no healthy endpoint/);
  });
});

describe("the ring of records", () => {
  it("keeps the last ones and finds them by id, newest first", () => {
    const ring = new ExplainRing(3);
    const record = makeExplainRecord(exchangeOf(repeated()));
    for (let i = 0; i < 5; i++) ring.add({ ...record, requestId: `r${i}` });
    assert.deepEqual(
      ring.latest(9).map(({ requestId }) => requestId),
      ["r4", "r3", "r2"],
    );
    assert.deepEqual(
      ring.latest(1).map(({ requestId }) => requestId),
      ["r4"],
    );
    assert.deepEqual([ring.find("r1").length, ring.find("r3").length], [0, 1]);
  });
});

describe("a span", () => {
  it("has the exchange's ids, times and attributes, and no query", () => {
    const span = makeSpanRecord(exchangeOf(repeated()));
    assert.deepEqual([span.traceId, span.parentSpanId, span.traceState], [TRACE, SPAN, "v=1"]);
    assert.match(span.spanId, /^[0-9a-f]{16}$/);
    assert.equal(span.kind, "client");
    assert.ok(span.endMs > span.startMs);
    assert.equal(span.attributes["url.path"], "/a");
    assert.equal(span.attributes["http.request.resend_count"], 1);
    assert.equal(span.attributes["http.response.status_code"], 200);
    assert.equal(span.isError, false);
  });
});

describe("the recorder", () => {
  it("counts every exchange, and keeps records only of those with something to explain", () => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "heddle-rec-")), "access.log");
    const metrics = new Metrics();
    const explain = new ExplainRing();
    const spans: SpanRecord[] = [];
    const format = { kind: "text", format: "%RESPONSE_CODE%\n" } as const;
    const http = { accessLogs: [{ path: file, format }] };
    let lines: LineFile | undefined;
    const recorder = new ExchangeRecorder({
      metrics,
      explain,
      traceWatch: new TraceWatch(),
      onSpan: (span) => void spans.push(span),
      lineFile: (name) => (lines ??= new LineFile(name, new ExchangeBench().clock, silentLog)),
    });
    for (const status of [200, 200, 503]) {
      const bench = new ExchangeBench({ http });
      bench.request("GET", "/a", true);
      bench.attempt.answer(status, "x");
      recorder.onExchangeDone(exchangeOf(bench));
    }
    recorder.onExchangeDone(exchangeOf(repeated()));
    lines?.closeNow();
    assert.equal(fs.readFileSync(file, "utf8"), "200\n200\n503\n");
    fs.rmSync(path.dirname(file), { recursive: true });
    const text = renderPrometheus(metrics.snapshot());
    assert.match(text, /heddle_requests_total\{[^}]*code="200"[^}]*response_flags="-"\} 3\n/);
    assert.match(text, /heddle_requests_total\{[^}]*code="503"[^}]*\} 1\n/);
    assert.match(text, /heddle_request_duration_seconds_count\{[^}]*destination="backend"[^}]*\} 4\n/);
    assert.equal(explain.latest(9).length, 2);
    assert.equal(spans.length, 1);
  });
});

describe("the trace watch", () => {
  it("names the application that sends requests out of no trace, once there are enough to tell", () => {
    const watch = new TraceWatch();
    const see = (direction: "inbound" | "outbound", headers: readonly (readonly [string, string])[] = []): void => {
      const bench = new ExchangeBench({ filters: [TRACING], connection: { direction } });
      bench.request("GET", "/a", true, ...headers);
      bench.attempt.answer(200, "x");
      watch.see(exchangeOf(bench));
    };
    for (let i = 0; i < 19; i++) see("inbound");
    for (let i = 0; i < 25; i++) see("outbound");
    assert.equal(describeFindings("orders", watch.findings), undefined);
    see("inbound");
    assert.match(
      describeFindings("orders", watch.findings) ?? "",
      /^orders received 20 traced requests and sent 0 of 25/,
    );
    for (let i = 0; i < 30; i++) see("outbound", [["traceparent", `00-${TRACE}-${SPAN}-00`]]);
    assert.equal(describeFindings("orders", watch.findings), undefined);
  });
});
