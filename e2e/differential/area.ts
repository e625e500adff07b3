// Runs the cases of an area: one pair of processes for all of them, each a test of its own.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { readArea } from "./case-files.ts";
import { startPair, SIDES, type Pair } from "./pair.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { verdictOf } from "./verdict.ts";

/** How many cases are played at the same time. */
const AT_ONCE = 6;

/** Registers the cases of `cases/AREA` with node:test. `HEDDLE_CASE` names a part of the names of those to run. */
export function runArea(area: string): void {
  const wanted = process.env["HEDDLE_CASE"] ?? "";
  const chosen = readArea(area).filter(({ name }) => name.includes(wanted));
  // Those that wait for the others come behind them, or they would take all the places and wait for ever.
  const cases = [...chosen.filter((one) => one.alone !== true), ...chosen.filter((one) => one.alone === true)];
  describe(area, { concurrency: AT_ONCE }, () => {
    let prepared: readonly Prepared[] = [];
    let pair: Pair | undefined;
    let alone: Promise<unknown> = Promise.resolve();
    before(async () => {
      prepared = await Promise.all(cases.map((one, i) => prepare(one, i)));
      pair = await startAll(prepared);
    });
    after(async () => {
      await pair?.stop();
      await Promise.all(prepared.map((one) => one.stop()));
    });
    const shared = cases.filter((one) => one.alone !== true).length;
    let left = shared;
    const { promise: quiet, resolve } = Promise.withResolvers<void>();
    if (shared === 0) resolve();
    for (const [i, { name, alone: isAlone }] of cases.entries()) {
      it(name, async () => {
        const one = prepared[i];
        assert.ok(one !== undefined && pair !== undefined, "the processes did not start");
        const running = pair;
        const check = async (): Promise<void> => {
          const complaints = await verdictOf(one, running);
          assert.ok(complaints.length === 0, `${one.body.place}:\n  ${complaints.join("\n  ")}`);
        };
        if (isAlone === true) {
          // Those that measure times come after the others, one by one.
          alone = Promise.all([alone.catch(() => undefined), quiet]).then(check);
          await alone;
          return;
        }
        try {
          await check();
        } finally {
          if (--left === 0) resolve();
        }
      });
    }
  });
}

/** One process of each for all; when it refuses its configuration, the case that is to blame is looked for. */
async function startAll(prepared: readonly Prepared[]): Promise<Pair> {
  try {
    return await startPair(together(prepared));
  } catch (error) {
    if (prepared.length === 1) throw new Error(`${prepared[0]?.body.place}: ${String(error)}`, { cause: error });
    const refused: string[] = [];
    for (const one of prepared) {
      const pair = await startPair(together([one])).catch((cause: unknown) => `${one.body.place}: ${String(cause)}`);
      if (typeof pair === "string") refused.push(pair);
      else await pair.stop();
    }
    throw new Error(refused.length > 0 ? refused.join("\n") : String(error), { cause: error });
  }
}

function together(prepared: readonly Prepared[]): Parameters<typeof startPair>[0] {
  const [envoy, heddle] = SIDES.map((side) => ({
    listeners: prepared.map(({ resources }) => resources[side].listener),
    clusters: prepared.flatMap(({ resources }) => resources[side].clusters),
  }));
  assert.ok(envoy !== undefined && heddle !== undefined);
  return { envoy, heddle };
}
