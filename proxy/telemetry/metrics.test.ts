// Metrics: what a scrape says, of one thread and of several.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import { formatLabels, mergeSnapshots, Metrics, renderPrometheus } from "./metrics.ts";

function thread(requests: number, seconds: readonly number[]): Metrics {
  const metrics = new Metrics();
  metrics.counter("requests_total", "Requests.", { code: "200" }).add(requests);
  metrics.gauge("open", "Open\nconnections.", () => [[{}, requests]]);
  const histogram = metrics.histogram("seconds", "Time.", { to: 'a"b\\c' }, [0.1, 1]);
  for (const value of seconds) histogram.observe(value);
  return metrics;
}

describe("a scrape", () => {
  it("is Prometheus text, by name, with the sums of all threads", () => {
    const merged = mergeSnapshots([thread(2, [0.05, 0.1, 5]).snapshot(), thread(3, [1]).snapshot()]);
    assert.equal(
      renderPrometheus(merged),
      [
        "# HELP open Open\\nconnections.",
        "# TYPE open gauge",
        "open 5",
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{code="200"} 5',
        "# HELP seconds Time.",
        "# TYPE seconds histogram",
        'seconds_bucket{to="a\\"b\\\\c",le="0.1"} 2',
        'seconds_bucket{to="a\\"b\\\\c",le="1"} 3',
        'seconds_bucket{to="a\\"b\\\\c",le="+Inf"} 4',
        'seconds_sum{to="a\\"b\\\\c"} 6.15',
        'seconds_count{to="a\\"b\\\\c"} 4',
        "",
      ].join("\n"),
    );
  });

  it("is the same however the work was split among threads", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 })), fc.nat(), (values, cut) => {
        const at = values.length === 0 ? 0 : cut % values.length;
        const whole = thread(values.length, values);
        const parts = [thread(at, values.slice(0, at)), thread(values.length - at, values.slice(at))];
        assert.equal(
          renderPrometheus(mergeSnapshots(parts.map((part) => part.snapshot()))),
          renderPrometheus(whole.snapshot()),
        );
      }),
    );
  });

  it("does not change what it merged", () => {
    const one = thread(1, [1]).snapshot();
    const before = structuredClone(one);
    mergeSnapshots([one, thread(9, [9]).snapshot()]);
    assert.deepEqual(one, before);
  });
});

describe("series", () => {
  it("are the same for the same labels, and bounded: what is beyond is counted together", () => {
    const metrics = new Metrics();
    const first = metrics.counter("x_total", "X.", { key: "0" });
    for (let i = 0; i < 2100; i++) metrics.counter("x_total", "X.", { key: String(i) }).add(1);
    assert.equal(metrics.counter("x_total", "X.", { key: "0" }), first);
    const { samples } = metrics.snapshot();
    assert.ok(samples.length <= 2001, `${samples.length}`);
    const total = samples.reduce((sum, sample) => sum + (sample.kind === "counter" ? sample.value : 0), 0);
    assert.equal(total, 2100);
    assert.ok(samples.some(({ labels }) => labels === 'overflow="true"'));
  });

  it("have labels that no value can break out of", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        const text = formatLabels({ a: value });
        assert.match(text, /^a="(?:[^"\\\n]|\\[\\"n])*"$/);
      }),
    );
  });
});
