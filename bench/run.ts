// `npm run bench [-- ROW...]`: Heddle beside Envoy, the same bootstrap, one core each, alternating; writes bench/report.md.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { CACHE, getEnvoy } from "./get-envoy.ts";
import { cpuMicros, readCore, rssKib, runPinned } from "./processes.ts";
import { PROXY_CORE, startContender, type Contender } from "./proxies.ts";
import { renderReport, summarize, type Round, type RowResult } from "./report.ts";
import { rows, type Row } from "./rows.ts";
import { requireTools, versionOf } from "./tools.ts";
import { startUpstream } from "./upstream.ts";

const LOAD_CORE = 1;
const WARM_UP_S = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "4" },
    seconds: { type: "string", default: "2" },
    only: { type: "string" },
    report: { type: "string", default: path.join(import.meta.dirname, "report.md") },
  },
});

async function measure(row: Row, contender: Contender, seconds: number, folder: string): Promise<Round> {
  const { pid } = contender.running;
  const logFile = path.join(folder, "load.log");
  const proxyBefore = readCore(PROXY_CORE);
  const loadBefore = readCore(LOAD_CORE);
  const cpuBefore = cpuMicros(pid);
  const said = await runPinned(LOAD_CORE, row.command(contender.port, seconds, logFile));
  const cpu = cpuMicros(pid) - cpuBefore;
  const [proxyCore, loadCore] = [share(proxyBefore, readCore(PROXY_CORE)), share(loadBefore, readCore(LOAD_CORE))];
  const load = row.parse(said, logFile);

  if (load.errors > 0) throw new Error(`${contender.name} answered ${load.errors} of ${load.requests} requests badly`);
  return {
    ...load,
    cpuMicros: cpu / load.requests,
    proxyCore,
    loadCore,
    rssMib: rssKib(pid) / 1024,
  };
}

function share(before: ReturnType<typeof readCore>, after: ReturnType<typeof readCore>): number {
  return (after.busy - before.busy) / Math.max(1, after.all - before.all);
}

async function runRow(row: Row, names: readonly ("heddle" | "envoy")[]): Promise<RowResult> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `heddle-bench-${row.name}-`));
  const upstream = await startUpstream(row.protocol, LOAD_CORE, folder);
  const contenders: Contender[] = [];
  const rounds = new Map<string, Round[]>(names.map((name) => [name, []]));
  try {
    for (const name of names) contenders.push(await startContender(name, row.protocol, upstream.port, folder));
    for (const contender of contenders) await measure(row, contender, WARM_UP_S, folder);
    for (let round = 0; round < Number(values.rounds); round++) {
      const order = round % 2 === 0 ? contenders : contenders.toReversed();
      for (const contender of order) {
        const result = await measure(row, contender, Number(values.seconds), folder);
        rounds.get(contender.name)?.push(result);
        console.log(
          `${row.name} round ${round + 1} ${contender.name.padEnd(7)} ${result.requestsPerSecond.toFixed(0).padStart(7)} req/s  ` +
            `${result.cpuMicros.toFixed(2).padStart(6)} us CPU  p50 ${result.p50Ms.toFixed(2)} ms  p99 ${result.p99Ms.toFixed(2)} ms`,
        );
      }
    }
  } finally {
    for (const contender of contenders) await contender.running.stop();
    await upstream.stop();
  }
  // After a failure it stays, for the logs.
  fs.rmSync(folder, { recursive: true });
  return { row, upstream: upstream.name, rounds };
}

const chosen = positionals.length === 0 ? rows : rows.filter(({ name }) => positionals.includes(name));
if (chosen.length === 0 || positionals.some((name) => !rows.some((row) => row.name === name))) {
  console.error(
    `Cannot run ${positionals.join(", ")}: the rows are\n${rows.map(({ name, what }) => `  ${name}: ${what}`).join("\n")}`,
  );
  process.exit(2);
}
if (os.availableParallelism() < 2) {
  console.error("Cannot run the bench: it needs two cores, one for the proxy and one for load and upstream");
  process.exit(1);
}
try {
  requireTools(["taskset", "nginx", ...chosen.flatMap(({ tools }) => tools)]);
  const names = (["heddle", "envoy"] as const).filter((name) => values.only === undefined || values.only === name);
  if (names.includes("envoy")) getEnvoy();
  fs.mkdirSync(CACHE, { recursive: true });
  const results: RowResult[] = [];
  for (const row of chosen) results.push(await runRow(row, names));
  for (const result of results) console.log(`\n${summarize(result)}`);
  if (values.only === undefined) {
    const versions = [
      `Node ${process.version}`,
      "Envoy 1.40.0",
      versionOf("h2load", ["--version"]),
      versionOf("nginx", ["-v"]),
    ];
    fs.writeFileSync(values.report, renderReport(results, versions));
    console.log(`\nwritten: ${path.relative(process.cwd(), values.report)}`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
