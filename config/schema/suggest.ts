// Finds what a misspelt word was meant to be.

/**
 * The candidate nearest to `word` (optimal string alignment: insert, delete, change or swap neighbours; case counts a tenth of a change),
 * or undefined where none is near enough to be worth proposing.
 */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  // About one mistake in three letters; short words would otherwise match anything.
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 0.5;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > bestDistance) continue;
    const found = distance(word, candidate);
    if (found < bestDistance) {
      best = candidate;
      bestDistance = found;
    }
  }
  if (best !== undefined || word.length < 4) return best;
  // A part of a word, as "Prefix" of "PathPrefix", where it is a part of one alone.
  const holding = [...candidates].filter((candidate) => candidate.toLowerCase().includes(word.toLowerCase()));
  return holding.length === 1 ? holding[0] : undefined;
}

function distance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const left = from.charAt(row - 1);
      const right = to.charAt(column - 1);
      const change = left === right ? 0 : left.toLowerCase() === right.toLowerCase() ? 0.1 : 1;
      let least = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + change,
      );
      const isSwap = row > 1 && column > 1 && left === to.charAt(column - 2) && from.charAt(row - 2) === right;
      if (isSwap) least = Math.min(least, (beforePrevious[column - 2] ?? 0) + 1);
      current.push(least);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[to.length] ?? 0;
}
