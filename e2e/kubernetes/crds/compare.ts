// Whether two lists of reasons say the same. The differences that remain are named here, and for users in docs/reference/validation.md.
import type { Reason } from "./server.ts";

/** What is not explained; both empty: they agree. */
export interface Disagreement {
  readonly offlineAlone: readonly Reason[];
  readonly serverAlone: readonly Reason[];
}

export function compare(offline: readonly Reason[], server: readonly Reason[]): Disagreement {
  const isSame = (mine: Reason, theirs: Reason): boolean =>
    mine.reason === theirs.reason && mine.message === theirs.message && isAtOrBelow(mine.path, theirs.path);
  const both = offline.filter((mine) => server.some((theirs) => isSame(mine, theirs)));
  const has = (reason: Reason["reason"]): boolean => both.some((one) => one.reason === reason);
  const hasShape = both.some(({ reason }) => reason !== "rule");
  const offlineAlone = offline.filter((mine) => {
    if (both.includes(mine)) return false;
    // The server looks at nothing else when there are unknown fields, and stops at a list that is too long.
    if (has("unknown") && server.every(({ reason }) => reason === "unknown")) return false;
    if (has("range") && mine.reason === "duplicate") return false;
    // It runs no rules at all over an object whose shape is wrong somewhere; analyze does over the parts that are right.
    return !(hasShape && mine.reason === "rule");
  });
  const serverAlone = server.filter((theirs) => {
    if (offline.some((mine) => isSame(mine, theirs))) return false;
    // analyze runs a rule only over a value in which nothing else is wrong.
    if (both.length > 0 && theirs.reason === "rule") return false;
    // It looks into a mapping where a list should be.
    if (offline.some((mine) => mine.reason === "type" && isAtOrBelow(theirs.path, mine.path))) return false;
    // Of one wrong value the server says more than one thing.
    return !both.some(({ path }) => path === theirs.path || theirs.path === "");
  });
  return { offlineAlone, serverAlone };
}

/** analyze may name the very place where the server names what is around it. */
function isAtOrBelow(path: string, around: string): boolean {
  return path === around || path.startsWith(`${around}.`) || path.startsWith(`${around}[`);
}
