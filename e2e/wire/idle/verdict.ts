// Whether requests were harmed by closing upstreams, and by whom.
import type { Exchange } from "./lanes.ts";
import type { Stall } from "./stalls.ts";
import type { UpstreamCounts } from "./upstream.ts";

export interface Trial {
  readonly method: "GET" | "POST";
  /** The least that the upstream waits before it closes; 0: it does not close for want of requests. */
  readonly idleMs: number;
  /** A process that stands still for less loses nothing. */
  readonly marginMs: number;
  /** It is a sidecar that closes, and no POST may be lost before that has been seen either. */
  readonly isOurs: boolean;
  readonly exchanges: readonly Exchange[];
  readonly counts: UpstreamCounts;
  /** Of the test's own process; those of the upstream are in `counts`. */
  readonly stalls: readonly Stall[];
}

export interface Verdict {
  /** What must not have happened. */
  readonly faults: readonly string[];
  /**
   * Every fault is a POST that met a stall which nobody can be saved from. Such a POST uses a connection in the first half of
   * its idle time (the last 2 s of a long one aside). It then lies in the kernel of an upstream that stands still until that time is
   * over, and that runs its timers before it reads when it goes on: it closes, and RST answers the POST. Whether it was executed
   * nobody can know. Only a run without such a stall can judge the proxy.
   */
  readonly isExcused: boolean;
}

/** A close that was so long ago has been seen by the proxy. */
const SEEN_MS = 250;

/** The issue's own words: idempotent 0 errors; POST 0 once a close has been seen, at most one before; none executed twice. */
export function judgeTrial({ method, idleMs, marginMs, isOurs, exchanges, counts, stalls }: Trial): Verdict {
  const closesMs = Object.values(counts.closes);
  const firstAnswerMs = Math.min(...exchanges.map(({ answeredMs }) => answeredMs));
  // Not every server says when it closed; after twice its time it must have.
  const firstCloseMs = closesMs.length === 0 && idleMs > 0 ? firstAnswerMs + 2 * idleMs : Math.min(...closesMs);
  const failed = exchanges.filter(({ status }) => status !== "200");
  const late = failed.filter(({ sentMs }) => sentMs > firstCloseMs + SEEN_MS);
  const faults: string[] = [];
  const say = (some: readonly Exchange[], what: string): unknown =>
    faults.push(
      `${some.length} of ${exchanges.length} ${method} ${what}: ${Array.from(new Set(some.map(({ status }) => status))).join(", ")}`,
    );
  if (method === "GET" && failed.length > 0) say(failed, "failed");
  if (method === "POST" && late.length > 0) say(late, "failed after a close had been seen");
  if (method === "POST" && failed.length - late.length > (isOurs ? 0 : 1))
    say(failed, "failed before a close had been seen");
  const areExcused = failed.every((one) => isHopeless(one, marginMs, [...stalls, ...counts.stalls]));
  let isExcused = method === "POST" && areExcused;
  const lost = exchanges.length - failed.length - counts.executed;
  if (counts.twice > 0) faults.push(`${counts.twice} ${method} were executed twice`);
  if (lost > 0) faults.push(`${lost} ${method} were answered and not executed`);
  if (counts.twice > 0 || lost > 0) isExcused = false;
  return { faults, isExcused };
}

/** Somebody stood still for the whole margin while it ran. */
function isHopeless({ sentMs, answeredMs }: Exchange, marginMs: number, stalls: readonly Stall[]): boolean {
  return stalls.some(([fromMs, untilMs]) => untilMs - fromMs >= marginMs && untilMs >= sentMs && fromMs <= answeredMs);
}
