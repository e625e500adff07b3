// `npm run fuzz -- --minutes N [--target NAME] [--seed S]`: the time is divided among the targets, each in a thread of its own.
// `--replay FILE` runs one saved input of a target; `--list` names the targets. How and why: docs/fuzzing.md.
import fs from "node:fs";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";

import { describeError } from "#lib/errors.ts";

import { readCommitted, readFound, writeCommitted, writeFailure, type Kept } from "./corpus.ts";
import { Coverage } from "./coverage.ts";
import type { Order, Told } from "./loop.ts";
import { shrink } from "./shrink.ts";
import { processTarget, runProcess } from "./process.ts";
import { blur, type Target } from "./target.ts";
import { loadTarget, targetNames } from "./targets.ts";

const MAX_INPUT = 128 * 1024;
/** One input that takes so long is a loop without end. */
const HANG_MS = 20_000;
const HEAP_MIB = 768;
/** Of each target: `npm test` replays them all within a second. */
const MAX_COMMITTED = 30;

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "1" },
      target: { type: "string", multiple: true },
      seed: { type: "string" },
      replay: { type: "string" },
      list: { type: "boolean" },
      distil: { type: "boolean" },
    },
  });
  const coverage = values.distil === true ? new Coverage() : undefined;
  const wanted = values.target;
  const names = [...targetNames, processTarget];
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`Cannot run the target ${unknown}: there are ${names.join(", ")}`);
  const chosen = targetNames.filter((name) => wanted === undefined || wanted.includes(name));
  if (values.list === true) {
    console.log(names.join("\n"));
    return true;
  }
  if (values.replay !== undefined) return replay(chosen, values.replay);
  if (coverage !== undefined) return distil(chosen, coverage);
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? Date.now() & 0x7fffffff : Number(values.seed);
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error("--minutes needs a number, --seed a whole one");
  const hasProcess = wanted === undefined || wanted.includes(processTarget);
  // The processes have a tenth of the time, at least what their start and end take.
  const allMs = minutes * 60_000;
  const processMs = !hasProcess ? 0 : chosen.length === 0 ? allMs : Math.max(6000, allMs / 10);
  console.log(`seed ${seed}`);
  let passed = 0;
  let failed = 0;
  let leftMs = allMs - processMs;
  for (const [i, name] of chosen.entries()) {
    const began = performance.now();
    // One after the other: a share of the machine is a share of the time.
    // oxlint-disable-next-line no-await-in-loop
    const isGood = await fuzz(name, Math.max(500, leftMs / (chosen.length - i)), seed);
    leftMs -= performance.now() - began;
    if (isGood) passed++;
    else failed++;
  }
  if (hasProcess) {
    if (await runProcess(processMs, seed)) passed++;
    else failed++;
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

/** Says how it went; false when something was found. */
async function fuzz(name: string, ms: number, seed: number): Promise<boolean> {
  const current = new SharedArrayBuffer(MAX_INPUT);
  const found = await watch({ target: name, ms, seed, current });
  if (found === undefined) return true;
  console.log(`not ok ${name}: ${found.message}`);
  const target = await loadTarget(name);
  const word = blur(firstLine(found.message));
  const smallest = found.isDeadly
    ? found.input
    : await shrink(found.input, async (smaller) => {
        const message = await failureOf(target, smaller);
        return message !== undefined && blur(firstLine(message)) === word;
      });
  const file = writeFailure(name, smallest);
  console.log(`  seed ${seed}, ${smallest.length} octets: ${smallest.subarray(0, 400).toString("hex")}`);
  console.log(`  as text: ${JSON.stringify(smallest.subarray(0, 300).toString("latin1"))}`);
  console.log(`  again: npm run fuzz -- --target ${name} --replay ${file}`);
  return false;
}

interface Found {
  readonly input: Buffer;
  readonly message: string;
  /** Run here it would end this process too. */
  readonly isDeadly: boolean;
}

/** The failure, or undefined. */
function watch(order: Order): Promise<Found | undefined> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL("./loop.ts", import.meta.url), {
      workerData: order,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    });
    let found: Found | undefined;
    let isDone = false;
    const bytes = Buffer.from(order.current);
    const running = (): Buffer => Buffer.from(bytes.subarray(8, 8 + bytes.readUInt32LE(4)));
    let [started, since] = [0, performance.now()];
    const watchdog = setInterval(() => {
      const now = bytes.readUInt32LE(0);
      if (now !== started) [started, since] = [now, performance.now()];
      if (performance.now() - since < HANG_MS) return;
      found ??= { input: running(), message: `an input took longer than ${HANG_MS} ms`, isDeadly: true };
      void worker.terminate();
    }, 500);
    worker.on("message", (told: Told) => {
      if (told.kind === "failed") found = { input: Buffer.from(told.input), message: told.message, isDeadly: false };
      if (told.kind !== "done") return;
      isDone = true;
      console.log(`ok ${order.target}: ${told.runs} inputs, ${told.branches} branches, ${told.kept} kept`);
    });
    worker.on("error", (error) => {
      found ??= { input: running(), message: `the thread ended: ${describeError(error)}`, isDeadly: true };
    });
    worker.on("exit", () => {
      clearInterval(watchdog);
      if (!isDone) found ??= { input: running(), message: "the thread ended without a word", isDeadly: true };
      resolve(found);
    });
  });
}

async function failureOf(target: Target, input: Buffer): Promise<string | undefined> {
  try {
    await target.run(input);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : describeError(error);
  }
}

async function replay(chosen: readonly string[], file: string): Promise<boolean> {
  const [name, second] = chosen;
  if (name === undefined || second !== undefined) throw new Error("--replay needs one --target");
  const target = await loadTarget(name);
  const input = Buffer.from(fs.readFileSync(file, "utf8").trim(), "hex");
  const message = await failureOf(target, input);
  console.log(message ?? (await target.run(input)));
  console.log(message === undefined ? "1 passed, 0 failed" : "0 passed, 1 failed");
  return message === undefined;
}

/** Of what runs have found, the few small inputs that together take all branches go into the corpus that `npm test` replays. */
async function distil(chosen: readonly string[], coverage: Coverage): Promise<boolean> {
  for (const name of chosen) {
    // oxlint-disable-next-line no-await-in-loop -- what one target runs is not another's
    const target = await loadTarget(name);
    coverage.look(target.covers);
    // oxlint-disable-next-line no-await-in-loop
    for (const input of await target.seeds()) await target.run(input);
    const named = readCommitted(target.name).filter(({ remark }) => remark !== "");
    // oxlint-disable-next-line no-await-in-loop
    for (const { input } of named) await target.run(input);
    coverage.takeNew();
    const kept: Kept[] = [...named];
    const candidates = readFound(target.name).filter(({ input }) => input.length <= 400);
    for (const candidate of candidates.toSorted((a, b) => a.input.length - b.input.length)) {
      // oxlint-disable-next-line no-await-in-loop
      await target.run(candidate.input);
      if (kept.length < MAX_COMMITTED && coverage.takeNew() > 0) kept.push(candidate);
    }
    writeCommitted(target.name, kept);
    console.log(`${target.name}: ${kept.length} inputs`);
  }
  return true;
}

function firstLine(text: string): string {
  return text.slice(0, text.indexOf("\n") < 0 ? text.length : text.indexOf("\n"));
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 2;
}
