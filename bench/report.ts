// Turns rounds into medians with spread, ratios, and the report that is kept beside the bench.
import os from "node:os";

import type { Load, Row } from "./rows.ts";

export interface Round extends Load {
  /** CPU of the proxy per request, all threads, user and system. */
  readonly cpuMicros: number;
  /** Busy shares, 0 to 1: which side was the limit. */
  readonly proxyCore: number;
  readonly loadCore: number;
  readonly rssMib: number;
}

export interface RowResult {
  readonly row: Row;
  readonly upstream: string;
  readonly rounds: ReadonlyMap<string, readonly Round[]>;
}

/** Middle, least and most of one figure over the rounds. */
interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A few lines for the terminal. */
export function summarize(result: RowResult): string {
  const lines = [`${result.row.name}: ${result.row.what} (upstream ${result.upstream})`];
  for (const [name, rounds] of result.rounds) {
    if (rounds.length === 0) continue;
    const [rate, cpu] = [spread(rounds, "requestsPerSecond"), spread(rounds, "cpuMicros")];
    lines.push(`  ${name.padEnd(7)} ${text(rate, 0)} req/s, ${text(cpu, 2)} us CPU per request`);
  }
  const ratio = ratios(result);
  if (ratio !== undefined)
    lines.push(
      `  heddle / envoy: ${text(ratio.perCore, 2)} times the requests per CPU second, ${text(ratio.rate, 2)} times the requests per second`,
    );
  return lines.join("\n");
}

/** Round by round, so that a noisy minute hits both sides. */
function ratios(result: RowResult): { readonly perCore: Spread; readonly rate: Spread } | undefined {
  const heddle = result.rounds.get("heddle") ?? [];
  const envoy = result.rounds.get("envoy") ?? [];
  if (heddle.length === 0 || envoy.length !== heddle.length) return undefined;
  const pairs = heddle.map((mine, i) => ({ mine, theirs: envoy[i] ?? mine }));
  return {
    perCore: spreadOf(pairs.map(({ mine, theirs }) => theirs.cpuMicros / mine.cpuMicros)),
    rate: spreadOf(pairs.map(({ mine, theirs }) => mine.requestsPerSecond / theirs.requestsPerSecond)),
  };
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
    "- Both proxies read the same bootstrap (`bench/bootstrap.ts`): six filters on as far as each knows them (Envoy: local rate limit, retry",
    "  policy, circuit breakers, outlier detection, request ids; Heddle also its trace context, mTLS, routing, breaker and retry filters), a",
    "  JSON access log line per request to a file, one worker thread.",
    "- The proxy is pinned to core 0, load generator and upstream to core 1; the order alternates; figures are medians of the rounds",
    "  with the least and the most in brackets. CPU is user and system time of all threads of the proxy (schedstat). Ratios are taken",
    "  round by round. Where the load core was full, the ratio of requests per second is a lower bound.",
    "",
  ];
  return `${[...head, ...results.flatMap(renderRow)].join("\n")}\n`;
}

function renderRow(result: RowResult): readonly string[] {
  const lines = [
    `## ${result.row.name}: ${result.row.what}`,
    "",
    `Upstream ${result.upstream}.`,
    "",
    `| proxy | requests/s | CPU us per request | p50 ms | p99 ms | RSS MiB | proxy core busy | load core busy |`,
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const [name, rounds] of result.rounds) {
    const cells = [
      text(spread(rounds, "requestsPerSecond"), 0),
      text(spread(rounds, "cpuMicros"), 2),
      text(spread(rounds, "p50Ms"), 2),
      text(spread(rounds, "p99Ms"), 2),
      spread(rounds, "rssMib").median.toFixed(0),
      `${(spread(rounds, "proxyCore").median * 100).toFixed(0)} %`,
      `${(spread(rounds, "loadCore").median * 100).toFixed(0)} %`,
    ];
    lines.push(`| ${name} | ${cells.join(" | ")} |`);
  }
  const ratio = ratios(result);
  if (ratio !== undefined)
    lines.push(
      "",
      `Heddle against Envoy: **${text(ratio.perCore, 2)}** times the requests per CPU second, ${text(ratio.rate, 2)} times the requests per second.`,
    );
  return [...lines, ""];
}

function spread(rounds: readonly Round[], figure: keyof Round): Spread {
  return spreadOf(rounds.map((round) => round[figure]));
}

function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((left, right) => left - right);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

function text({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}
