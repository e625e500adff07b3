// `npm run bench [-- ROW...]`: Heddle beside Envoy, the same bootstrap, one core each, alternating; writes bench/report.md.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { renderReport, summarize, type RowResult } from "./report.ts";
import { rows } from "./rows.ts";
import { runRow } from "./run-row.ts";
import { requireTools, versionOf } from "./tools/find-tool.ts";
import { getBundle } from "./tools/get-bundle.ts";
import { ENVOY_VERSION, getEnvoy } from "./tools/get-envoy.ts";
import { getPrograms } from "./tools/get-programs.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    /** Contenders, by comma. Without Envoy there is nothing to compare and no report. */
    only: { type: "string" },
    report: { type: "string", default: path.join(import.meta.dirname, "report.md") },
  },
});

const chosen = positionals.length === 0 ? rows : rows.filter(({ name }) => positionals.includes(name));
if (chosen.length === 0 || positionals.some((name) => !rows.some((row) => row.name === name))) {
  console.error(
    `Cannot run ${positionals.join(", ")}: the rows are\n${rows.map(({ name, title }) => `  ${name}: ${title}`).join("\n")}`,
  );
  process.exit(2);
}
if (os.availableParallelism() < 2) {
  console.error("Cannot run the bench: it needs two cores, one for the proxy and one for load and application");
  process.exit(1);
}
// Leaving by `exit` takes along what was started.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.setMaxListeners(64);
try {
  const only = values.only?.split(",");
  const isWanted = (name: string): boolean => only === undefined || only.includes(name);
  requireTools(["taskset", ...chosen.flatMap(({ tools }) => tools).filter(isWanted)]);
  getPrograms();
  if (isWanted("envoy")) getEnvoy();
  if (isWanted("heddle")) getBundle();
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds), only };
  const results: RowResult[] = [];
  for (const row of chosen) results.push(await runRow(row, options));
  for (const result of results) console.log(`\n${summarize(result)}`);
  if (only === undefined) {
    const versions = [
      `Node ${process.version}`,
      `Envoy ${ENVOY_VERSION}`,
      versionOf("haproxy", ["-v"]),
      versionOf("nginx", ["-v"]),
    ];
    fs.writeFileSync(values.report, renderReport(results, versions));
    console.log(`\nwritten: ${path.relative(process.cwd(), values.report)}`);
  }
  if (results.some(({ failure }) => failure !== undefined)) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
