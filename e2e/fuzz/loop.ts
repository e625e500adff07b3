// One target's share of a run, in a thread of its own: a loop without end or a full heap there ends the thread, not the run.
import { parentPort, workerData } from "node:worker_threads";

import { describeError } from "#lib/errors.ts";
import { makeSeededRandom, type Random } from "#lib/random.ts";

import { readCommitted, readFound, writeFound } from "./corpus.ts";
import { Coverage } from "./coverage.ts";
import { mutateBytes } from "./mutate.ts";
import { findSlowness } from "./slowness.ts";
import { below, pick, type Target } from "./target.ts";
import { loadTarget } from "./targets.ts";

export interface Order {
  readonly target: string;
  readonly ms: number;
  readonly seed: number;
  /** The input that runs: how many ran before, its length (four octets each), then itself. */
  readonly current: SharedArrayBuffer;
}

export type Told =
  | { readonly kind: "failed"; readonly input: Uint8Array; readonly message: string }
  | { readonly kind: "done"; readonly runs: number; readonly kept: number; readonly branches: number };

/** Coverage costs milliseconds a look: one look for so many inputs, and one for each of them when there was something new. */
const BATCH = 64;
const MAX_POOL = 2000;
const MAX_WORDS = 1500;
const DEFAULT_MAX_BYTES = 4096;
/** Before the input in `Order.current`. */
const HEAD_BYTES = 8;

const order = workerData as Order; // as: run.ts starts this file
const current = Buffer.from(order.current);
let started = 0;

function tell(told: Told): void {
  parentPort?.postMessage(told);
}

async function runOne(target: Target, input: Buffer): Promise<string> {
  started = (started + 1) >>> 0;
  current.writeUInt32LE(started, 0);
  current.writeUInt32LE(input.length, 4);
  input.copy(current, HEAD_BYTES);
  return target.run(input);
}

function change(target: Target, pool: readonly Buffer[], random: Random): Buffer {
  // The newest are the most promising.
  let input =
    random.next() < 0.3
      ? (pool[pool.length - 1 - below(random, Math.min(pool.length, 20))] ?? pick(random, pool))
      : pick(random, pool);
  for (let changes = 1 + below(random, 4); changes > 0; changes--) {
    const isStructural = target.mutate !== undefined && random.next() < 0.5;
    input = isStructural
      ? (target.mutate?.(input, random) ?? input)
      : mutateBytes(input, random, target.words ?? [], pool);
  }
  return input.subarray(0, Math.min(target.maxBytes ?? DEFAULT_MAX_BYTES, order.current.byteLength - HEAD_BYTES));
}

async function loop(): Promise<void> {
  // Before the target's files are compiled.
  const coverage = new Coverage();
  const target = await loadTarget(order.target);
  coverage.look(target.covers);
  const random = makeSeededRandom(order.seed);
  const pool: Buffer[] = [];
  const words = new Set<string>();
  let runs = 0;
  const attempt = async (input: Buffer): Promise<boolean> => {
    runs++;
    try {
      const word = await runOne(target, input);
      if (words.has(word) || words.size >= MAX_WORDS) return false;
      words.add(word);
      return true;
    } catch (error) {
      tell({
        kind: "failed",
        input,
        message: error instanceof Error ? (error.stack ?? error.message) : describeError(error),
      });
      throw error;
    }
  };
  const begin = [
    ...(await target.seeds()),
    ...[...readCommitted(target.name), ...readFound(target.name)].map(({ input }) => input),
  ];
  for (const input of begin) {
    // One input at a time, here and below: what runs is what a failure names.
    // oxlint-disable-next-line no-await-in-loop
    const isNew = await attempt(input);
    if (coverage.takeNew() > 0 || isNew || pool.length < 20) pool.push(input);
  }
  const until = performance.now() + order.ms;
  const found: Buffer[] = [];
  const keep = (input: Buffer): void => {
    const own = Buffer.from(input);
    if (pool.length >= MAX_POOL) pool.splice(below(random, pool.length), 1);
    pool.push(own);
    found.push(own);
  };
  while (performance.now() < until) {
    const batch: Buffer[] = [];
    while (batch.length < BATCH && performance.now() < until) {
      const input = change(target, pool, random);
      batch.push(input);
      // oxlint-disable-next-line no-await-in-loop
      if (await attempt(input)) keep(input);
    }
    if (coverage.takeNew(false) > 0) {
      for (const input of batch) {
        // oxlint-disable-next-line no-await-in-loop
        await attempt(input);
        if (coverage.takeNew() > 0) keep(input);
      }
      coverage.takeNew();
    }
    if (target.isLinear === true && random.next() < 0.02) {
      // oxlint-disable-next-line no-await-in-loop
      const slow = await findSlowness(target, pick(random, pool), random);
      if (slow !== undefined) {
        tell({ kind: "failed", input: slow.input, message: slow.message });
        throw new Error(slow.message);
      }
    }
  }
  writeFound(target.name, [...readFound(target.name).map(({ input }) => input), ...found].slice(-MAX_POOL));
  tell({ kind: "done", runs, kept: found.length, branches: coverage.branches });
  coverage.stop();
}

await loop();
