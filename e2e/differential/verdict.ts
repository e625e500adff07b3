// Plays a case at both proxies and says everything that is not as it must be: against the case, and against each other.
import { isDeepStrictEqual } from "node:util";

import type { KnownDifference, WantedCount } from "./case-schema.ts";
import { differencesOf, type Difference } from "./compare.ts";
import { readCounter } from "./counters.ts";
import { SIDES, type Pair, type Side } from "./pair.ts";
import { play, type Played } from "./play.ts";
import type { Prepared } from "./prepare.ts";
import { failuresOf, failuresTogether, inBounds, type Failure } from "./wanted.ts";

const COUNTERS_LIMIT_MS = 8000;
const MAX_COMPLAINTS = 25;

/** Sentences; none: all is well. */
export async function verdictOf(prepared: Prepared, pair: Pair): Promise<readonly string[]> {
  const [envoy = [], heddle = []] = await Promise.all(SIDES.map((side) => play(prepared, pair, side)));
  const [envoyCounts, heddleCounts] = await Promise.all(SIDES.map((side) => wrongCounters(prepared, pair, side)));
  const known = new KnownDifferences(prepared.body.differs ?? []);
  const complaints: string[] = [];
  const against = (side: Side, failures: readonly Failure[]): void => {
    for (const { what, wanted, found } of failures) {
      if (!known.excuses(side, what, found))
        complaints.push(`${what}: ${side} has ${show(found)}, expected is ${show(wanted)}`);
    }
  };
  against("envoy", [...wrongExchanges(prepared, envoy), ...(envoyCounts ?? [])]);
  against("heddle", [...wrongExchanges(prepared, heddle), ...(heddleCounts ?? [])]);
  for (const difference of differencesBetween(prepared, envoy, heddle)) {
    const { what, envoy: left, heddle: right } = difference;
    if (!known.explains(difference)) complaints.push(`${what}: envoy has ${show(left)}, heddle ${show(right)}`);
  }
  complaints.push(...known.unused().map((what) => `differs: ${what} does not differ any more: take it out`));
  return shorten([...new Set(complaints)]);
}

/** A hundred requests that fail alike are said once and counted. */
function shorten(complaints: readonly string[]): readonly string[] {
  const shown = complaints.slice(0, MAX_COMPLAINTS);
  return complaints.length === shown.length ? shown : [...shown, `... and ${complaints.length - shown.length} more`];
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length} characters)` : text;
}

function wrongExchanges({ body }: Prepared, played: Played): readonly Failure[] {
  return body.requests.flatMap((step, index) => {
    const exchanges = played[index] ?? [];
    const together = failuresTogether(step, exchanges).map((one) => ({
      ...one,
      what: `requests[${index}].${one.what}`,
    }));
    const singly = exchanges.flatMap((exchange, i) => {
      const failures = failuresOf(exchange);
      // Where statuses are counted, broken answers are among them; elsewhere each is a failure.
      const counted = step.statuses === undefined ? failures : failures.filter(({ what }) => what !== "error");
      return counted.map((one) => ({ ...one, what: `${pathOf(index, i, exchanges.length)}.${one.what}` }));
    });
    return [...together, ...singly];
  });
}

function differencesBetween({ body }: Prepared, envoy: Played, heddle: Played): readonly Difference[] {
  return body.requests.flatMap((step, index) => {
    // Where only the whole is foretold, single requests need not go the same way.
    if (step.statuses !== undefined || step.statusShares !== undefined) return [];
    const [left = [], right = []] = [envoy[index], heddle[index]];
    return left.flatMap((one, i) => {
      const other = right[i];
      const found = other === undefined ? [] : differencesOf(step, one, other);
      return found.map((difference) => ({
        ...difference,
        what: `${pathOf(index, i, left.length)}.${difference.what}`,
      }));
    });
  });
}

function pathOf(step: number, i: number, count: number): string {
  return count === 1 ? `requests[${step}]` : `requests[${step}][${i}]`;
}

/** Waits until all are as the case says; what is not by then is wrong. */
async function wrongCounters({ body, prefix }: Prepared, pair: Pair, side: Side): Promise<readonly Failure[]> {
  const wanted = Object.entries(body.counters ?? {}).flatMap(([owner, counters]) =>
    Object.entries(counters).map(([name, value]): [string, string, WantedCount] => [owner, name, value]),
  );
  if (wanted.length === 0) return [];
  const endMs = performance.now() + COUNTERS_LIMIT_MS;
  for (;;) {
    const stats = await pair.stats(side);
    const failures = wanted.flatMap(([owner, name, value]) => {
      const cluster = owner === "listener" ? undefined : `${prefix}_${owner}`;
      const found = readCounter(stats, { prefix, cluster }, name);
      return excusedOrRight(body.differs, side, `counters.${owner}.${name}`, value, found);
    });
    if (failures.every(({ isFinal }) => isFinal) || performance.now() > endMs) return failures;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A value that is known to differ is nothing to wait for. */
function excusedOrRight(
  differs: readonly KnownDifference[] | undefined,
  side: Side,
  what: string,
  wanted: WantedCount,
  found: number,
): readonly (Failure & { readonly isFinal: boolean })[] {
  if (inBounds(wanted, found)) return [];
  const isFinal = differs?.some((one) => one.what === what && isDeepStrictEqual(one[side], found)) === true;
  return [{ what, wanted, found, isFinal }];
}

/** What a case says of differences; each must be met. */
class KnownDifferences {
  readonly #known: readonly { readonly one: KnownDifference; readonly path: RegExp }[];
  readonly #used = new Set<KnownDifference>();

  constructor(known: readonly KnownDifference[]) {
    this.#known = known.map((one) => ({ one, path: pathPattern(one.what) }));
  }

  /** What one side has instead of what the case expects. */
  excuses(side: Side, what: string, found: unknown): boolean {
    return this.#known.some(({ one, path }) => {
      if (!path.test(what) || !(side in one) || !isDeepStrictEqual(one[side] ?? undefined, found ?? undefined))
        return false;
      this.#used.add(one);
      return true;
    });
  }

  explains({ what, envoy, heddle }: Difference): boolean {
    return this.#known.some(({ one, path }) => {
      const fits = (side: Side, found: unknown): boolean =>
        !(side in one) || isDeepStrictEqual(one[side] ?? undefined, found);
      if (!path.test(what) || !fits("envoy", envoy) || !fits("heddle", heddle)) return false;
      this.#used.add(one);
      return true;
    });
  }

  unused(): readonly string[] {
    return this.#known.flatMap(({ one }) => (this.#used.has(one) ? [] : [one.what]));
  }
}

/** `*` stands for one part, without dots and brackets. */
function pathPattern(what: string): RegExp {
  return new RegExp(
    `^${what
      .split("*")
      .map((part) => RegExp.escape(part))
      .join("[^.\\[\\]]*")}$`,
  );
}
