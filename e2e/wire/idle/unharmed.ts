// Sends requests at the moment when upstreams close, and lets nobody be harmed.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import { type LaneOptions, measureNearness, runLanes } from "./lanes.ts";
import { longestMs, StallWatch } from "./stalls.ts";
import type { Upstream } from "./upstream.ts";
import { judgeTrial, type Verdict } from "./verdict.ts";

/** Ten in the full run, one in CI's. */
export const TIMES = process.env["HEDDLE_IDLE_FULL"] === undefined ? 1 : 10;
export const LIMIT = { timeout: TIMES === 1 ? 120_000 : 500_000 };

export interface Case extends LaneOptions {
  readonly name: string;
  readonly upstream: Upstream;
  /** The upstream's idle time varies by so much. */
  readonly jitterMs?: number;
  /** It is a sidecar that closes, so long before anything can be lost. */
  readonly ownMarginMs?: number;
}

/** proxy/upstream/peer-lifetime.ts keeps a POST from the second half of an idle time, or from its last two seconds. */
const MARGIN_SHARE = 0.5;
const MOST_MARGIN_MS = 2000;

/** Servers and proxies of one run. */
export interface Scene {
  readonly cases: readonly Case[];
  stop(): unknown;
}

const MOST_RUNS = 3;

/**
 * Every case must keep the issue's promise. What a standing machine makes impossible is neither forgiven nor blamed on the proxy: all
 * is run again with everything new, and where no run of three can be judged the test fails.
 */
export async function expectUnharmed(t: TestContext, setUp: () => Promise<Scene>): Promise<void> {
  for (let run = 1; run <= MOST_RUNS; run++) {
    const scene = await setUp();
    const verdicts = await Promise.all(scene.cases.map((one) => judge(t, one)));
    await scene.stop();
    const faults = verdicts.flatMap((verdict) => verdict.faults);
    if (faults.length === 0) return;
    const areExcused = verdicts.every((verdict) => verdict.faults.length === 0 || verdict.isExcused);
    assert.ok(areExcused, faults.join("; "));
    t.diagnostic(
      `run ${run} cannot be judged, since processes stood still for longer than the margin: ${faults.join("; ")}`,
    );
  }
  assert.fail(
    `this machine is too busy: processes stood still for longer than the margin in each of ${MOST_RUNS} runs`,
  );
}

async function judge(t: TestContext, one: Case): Promise<Verdict> {
  const { name, method, upstream, jitterMs = 0, ownMarginMs } = one;
  const idleMs = Math.max(0, one.idleMs - jitterMs);
  const isOurs = ownMarginMs !== undefined;
  // Closes by count have no margin: they are known beforehand.
  const marginMs = ownMarginMs ?? (idleMs === 0 ? Infinity : Math.min(idleMs * MARGIN_SHARE, MOST_MARGIN_MS));
  const watch = new StallWatch().start();
  const exchanges = await runLanes(one);
  const stalls = watch.stop();
  const counts = await upstream.count();
  const verdict = judgeTrial({ method, idleMs, marginMs, isOurs, exchanges, counts, stalls });
  const near = measureNearness(exchanges, counts.closes);
  const failed = exchanges.filter(({ status }) => status !== "200").map(({ status }) => status);
  t.diagnostic(
    `${name} ${method}: ${exchanges.length} sent, ${failed.length} failed${failed.length > 0 ? ` (${failed.slice(0, 3).join(", ")})` : ""}, ${counts.executed} executed, ${counts.twice} twice, ` +
      `${Object.keys(counts.closes).length} closes by the upstream; within 2 ms of when it had to close: ${percent(near.due)}, of a ` +
      `real close: ${percent(near.real)}; stood still up to ${longestMs(stalls)} ms, the upstream ${longestMs(counts.stalls)} ms`,
  );
  return verdict;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
