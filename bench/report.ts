// Turns rounds into medians with spread, ratios against the targets, and the report that is kept beside the bench.
import os from "node:os";

import type { Column, Comparison, Row, Sample, Target } from "./row.ts";
import { spreadOf, writeSpread, type Spread } from "./spread.ts";

export interface RowResult {
  readonly row: Row;
  readonly rounds: ReadonlyMap<string, readonly Sample[]>;
  readonly notes: readonly string[];
  /** Why it ended early; the rounds before are kept. */
  readonly failure: string | undefined;
}

/** A few lines for the terminal. */
export function summarize(result: RowResult): string {
  const { row, failure } = result;
  const lines = [`${row.name}: ${row.title}`];
  for (const [name, rounds] of result.rounds) {
    const figures = row.columns.map((column) => `${column.title} ${cell(rounds, column)}`);
    if (rounds.length > 0) lines.push(`  ${name.padEnd(8)} ${figures.join(", ")}`);
  }
  for (const comparison of row.comparisons) {
    const ratio = ratioOf(result, comparison, comparison.against ?? "envoy");
    if (ratio !== undefined)
      lines.push(`  ${comparison.work}: ${writeSpread(ratio, 2)}, ${verdict(ratio, comparison.target)}`);
  }
  if (failure !== undefined) lines.push(`  failed: ${failure}`);
  return lines.join("\n");
}

/** The whole report in Markdown. */
export function renderReport(results: readonly RowResult[], versions: readonly string[]): string {
  const cpu = os.cpus()[0]?.model ?? "unknown CPU";
  const head = [
    "# Heddle beside Envoy",
    "",
    "Written by `npm run bench`; the figures of one machine on one day. Compare within a row only.",
    "",
    `- Machine: ${cpu}, ${os.availableParallelism()} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}`,
    `- Versions: ${versions.filter((version) => version !== "").join("; ")}`,
    `- Load average of the last minute when the run ended: ${(os.loadavg()[0] ?? 0).toFixed(1)}; the run itself makes about 2, what is above came from others`,
    "- Heddle (the shipped bundle) and Envoy read the same bootstrap (`bench/contenders/bootstrap.ts`): six filters on as far as each knows",
    "  them (Envoy: local rate limit, retry policy, circuit breakers, outlier detection, request ids; Heddle also its trace context, mTLS,",
    "  routing, breaker and retry filters), a JSON access log line per request to a file, spans of 1 % of the requests to an OTLP",
    "  collector, one worker thread. haproxy: JSON log to a file, rate limit, request ids, retries, outlier detection, no tracing. nginx:",
    "  JSON log, request ids, retries. node: the platform's own stacks (node:http with undici, node:http2) without any of it.",
    "- The proxy is pinned to core 0, load generator and application (`bench/go`) to core 1; the order alternates; figures are medians of",
    "  the rounds with the least and the most in brackets. CPU is user and system time of all threads of the proxy (schedstat). Ratios are",
    "  taken round by round. Where the load core was full, the ratio of requests per second is a lower bound. The application's count of",
    "  requests must equal the load generator's, or the run fails.",
    "",
    "## Against the targets",
    "",
    "CPU per request is Envoy's over Heddle's: 2 means that Heddle needs half. Memory, latency and times are Heddle's over Envoy's.",
    "",
    "| row | work | target | measured | | target to haproxy | measured | |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...results.flatMap(renderSummary),
    "",
  ];
  return `${[...head, ...results.flatMap(renderRow)].join("\n")}\n`;
}

function renderSummary(result: RowResult): readonly string[] {
  return result.row.comparisons.map((comparison) => {
    const { haproxy, target, work } = comparison;
    const cells = [`\`${result.row.name}\``, work, writeTarget(target)];
    cells.push(...measuredCells(result, comparison, comparison.against ?? "envoy", target));
    if (haproxy === undefined) cells.push("", "", "");
    else cells.push(writeTarget(haproxy), ...measuredCells(result, comparison, "haproxy", haproxy));
    return `| ${cells.join(" | ")} |`;
  });
}

function measuredCells(result: RowResult, comparison: Comparison, other: string, target: Target): readonly string[] {
  const ratio = ratioOf(result, comparison, other);
  if (ratio === undefined) return [result.failure === undefined ? "-" : "failed", ""];
  return [writeSpread(ratio, 2), verdict(ratio, target)];
}

function renderRow({ row, rounds, notes, failure }: RowResult): readonly string[] {
  const lines = [
    `## ${row.name}: ${row.title}`,
    "",
    `| proxy | ${row.columns.map(({ title }) => title).join(" | ")} |`,
    `| --- |${" --- |".repeat(row.columns.length)}`,
  ];
  for (const [name, samples] of rounds)
    lines.push(`| ${name} | ${row.columns.map((column) => cell(samples, column)).join(" | ")} |`);
  const remarks = [...row.notes, ...notes, ...(failure === undefined ? [] : [`The row failed: ${failure}`])];
  if (remarks.length > 0) lines.push("", ...remarks.map((remark) => `- ${remark}`));
  return [...lines, ""];
}

function cell(samples: readonly Sample[], { key, digits }: Column): string {
  const figures = samples.flatMap((sample) => sample[key] ?? []);
  return figures.length === 0 ? "-" : writeSpread(spreadOf(figures), digits);
}

/** Round by round, so that a noisy minute hits both sides. */
function ratioOf(result: RowResult, { figure, of = "heddle", ratio }: Comparison, other: string): Spread | undefined {
  const theirs = result.rounds.get(other) ?? [];
  const ratios = (result.rounds.get(of) ?? []).flatMap((sample, round) => {
    const [mine, their] = [sample[figure], theirs[round]?.[figure]];
    if (mine === undefined || their === undefined) return [];
    return ratio === "theirs/ours" ? their / mine : mine / their;
  });
  return ratios.length === 0 ? undefined : spreadOf(ratios);
}

function writeTarget(target: Target): string {
  if ("most" in target) return `<= ${target.most.toFixed(2)}`;
  return `>= ${target.least.toFixed(2)}${target.stretch === undefined ? "" : `, stretch ${target.stretch.toFixed(1)}`}`;
}

function verdict({ median }: Spread, target: Target): string {
  const isMet = "most" in target ? median <= target.most : median >= target.least;
  return isMet ? "met" : "**not met**";
}
