// Runs one row: everything up, warm, then rounds in alternating order, then everything down.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { startApp } from "./tools/app.ts";
import { makeCertificates } from "./tools/certificates.ts";
import type { RowResult } from "./report.ts";
import type { Row, Sample } from "./row.ts";

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Undefined: all of the row. */
  readonly only: readonly string[] | undefined;
}

/** A row that fails has its reason in the result; its folder stays, for the logs. */
export async function runRow(row: Row, { rounds, seconds, only }: RunOptions): Promise<RowResult> {
  const contenders = row.contenders.filter((name) => only === undefined || only.some((one) => name.startsWith(one)));
  const samples = new Map<string, Sample[]>(contenders.map((name) => [name, []]));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `heddle-bench-${row.name}-`));
  const notes: string[] = [];
  let failure: string | undefined;
  try {
    const collector = await startApp("otlp", folder);
    try {
      const certificates = await makeCertificates(folder);
      const open = await row.open({ folder, certificates, collector: collector.port, contenders });
      try {
        for (const name of contenders) await named(name, open.warmUp(name));
        for (let round = 0; round < rounds; round++)
          for (const name of round % 2 === 0 ? contenders : contenders.toReversed()) {
            const sample = await named(name, open.measure(name, seconds));
            samples.get(name)?.push(sample);
            console.log(`${row.name} round ${round + 1} ${name.padEnd(8)} ${describe(row, sample)}`);
          }
        notes.push(...open.notes());
      } finally {
        await open.close();
      }
    } finally {
      await collector.stop();
    }
    fs.rmSync(folder, { recursive: true });
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    console.error(`${row.name} failed: ${failure} (logs: ${folder})`);
  }
  return { row, rounds: samples, notes, failure };
}

/** Whose fault it was. */
async function named<T>(name: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function describe(row: Row, sample: Sample): string {
  const figures = row.columns.map(({ key, title, digits }) => {
    const figure = sample[key];
    return figure === undefined ? undefined : `${title} ${figure.toFixed(digits)}`;
  });
  return figures.filter((text) => text !== undefined).join("  ");
}
