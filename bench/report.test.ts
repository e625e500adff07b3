// The report's arithmetic: medians, ratios round by round, targets.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { renderReport, type RowResult } from "./report.ts";
import type { Comparison, Row } from "./row.ts";
import { spreadOf } from "./spread.ts";

function resultOf(comparison: Comparison, rounds: Readonly<Record<string, readonly number[]>>): RowResult {
  const row: Row = {
    name: "h1",
    title: "a row",
    contenders: Object.keys(rounds),
    tools: [],
    columns: [{ key: "cpu", title: "CPU", digits: 1 }],
    comparisons: [comparison],
    notes: [],
    open: () => Promise.reject(new Error("not run here")),
  };
  const samples = Object.entries(rounds).map(([name, figures]) => [name, figures.map((cpu) => ({ cpu }))] as const);
  return { row, rounds: new Map(samples), notes: [], failure: undefined };
}

function summaryOf(result: RowResult): string {
  return (
    renderReport([result], [])
      .split("\n")
      .find((line) => line.startsWith("| `h1`")) ?? ""
  );
}

describe("the report", () => {
  it("takes costs as theirs over ours, round by round, and says whether the target is met", () => {
    const comparison: Comparison = {
      work: "small",
      figure: "cpu",
      ratio: "theirs/ours",
      target: { least: 1.8 },
      haproxy: { least: 1 },
    };
    const rounds = { heddle: [10, 20, 10], envoy: [20, 30, 30], haproxy: [5, 5, 5] };
    assert.equal(
      summaryOf(resultOf(comparison, rounds)),
      "| `h1` | small | >= 1.80 | 2.00 (1.50–3.00) | met | >= 1.00 | 0.50 (0.25–0.50) | **not met** |",
    );
  });

  it("takes what should be small as ours over theirs", () => {
    const comparison: Comparison = { work: "p99", figure: "cpu", ratio: "ours/theirs", target: { most: 0.6 } };
    assert.match(summaryOf(resultOf(comparison, { heddle: [3], envoy: [4] })), /<= 0\.60 \| 0\.75 .* \*\*not met\*\*/);
    assert.match(summaryOf(resultOf(comparison, { heddle: [2], envoy: [4] })), /0\.50 .* \| met \|/);
  });

  it("compares two of Heddle's own with each other where a row says so", () => {
    const comparison: Comparison = {
      work: "workers",
      figure: "cpu",
      ratio: "ours/theirs",
      target: { least: 1.8 },
      of: "heddle, 2 workers",
      against: "heddle, 1 worker",
    };
    const summary = summaryOf(resultOf(comparison, { "heddle, 1 worker": [10], "heddle, 2 workers": [19] }));
    assert.match(summary, /1\.90 \(1\.90–1\.90\) \| met/);
  });

  it("names a row that failed instead of leaving it out", () => {
    const comparison: Comparison = { work: "p99", figure: "cpu", ratio: "ours/theirs", target: { most: 0.6 } };
    const result = { ...resultOf(comparison, { heddle: [], envoy: [] }), failure: "envoy: 3 requests failed" };
    assert.match(summaryOf(result), /failed/);
    assert.match(renderReport([result], []), /The row failed: envoy: 3 requests failed/);
  });

  it("has the middle of an even number of rounds between the two middle ones", () => {
    assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
  });
});
