// The arithmetic of a token bucket, seen from outside: how many requests it must and may have let through.
import type { Outcome } from "../shop/load.ts";

/** Requests allowed, and the bounds that a bucket which was full at the beginning allows for. */
export interface BucketBounds {
  readonly allowed: number;
  readonly refused: number;
  /** Fewer would mean that the bucket lost tokens. */
  readonly least: number;
  /** More would mean that it made some. */
  readonly most: number;
}

/**
 * When a decision was made is known only to lie between the beginning and the end of its call, so both bounds take the
 * side that forgives. Most: the burst, and what was refilled between the first beginning and the last end. Least: the burst,
 * and what was refilled between the first and the last refusal (at both the bucket was empty), without what may have run
 * over in a pause so long that the bucket could have become full.
 */
export function bucketBounds(outcomes: readonly Outcome[], perSecond: number, burst: number): BucketBounds {
  const perMs = perSecond / 1000;
  const allowed = outcomes.filter((outcome) => outcome.status >= 200 && outcome.status < 300);
  const refused = outcomes.filter((outcome) => outcome.status === 429).toSorted((a, b) => a.startMs - b.startMs);
  const begin = Math.min(...outcomes.map((outcome) => outcome.startMs));
  const end = Math.max(...outcomes.map(endOf));
  const first = refused[0];
  const last = refused.at(-1);
  let refilled = first === undefined || last === undefined ? 0 : Math.max(0, last.startMs - endOf(first)) * perMs;
  for (const [index, refusal] of refused.entries()) {
    const next = refused[index + 1];
    if (next === undefined) continue;
    const pauseMs = Math.max(endOf(refusal), endOf(next)) - refusal.startMs;
    refilled -= Math.max(0, pauseMs * perMs - (burst - 1));
  }
  return {
    allowed: allowed.length,
    refused: refused.length,
    least: Math.floor(burst + Math.max(0, refilled - 1)),
    most: Math.ceil(burst + (end - begin) * perMs + 1),
  };
}

function endOf(outcome: Outcome): number {
  return outcome.startMs + outcome.tookMs;
}
