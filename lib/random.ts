// Chance as a value, so that tests can repeat it.

/** Uniform in [0, 1). */
export interface Random {
  next(): number;
}

/** Good enough for balancing, jitter and ids; never for keys. */
export const systemRandom: Random = { next: Math.random };

/** xorshift32 from a seed: the same seed gives the same run. */
export function makeSeededRandom(seed: number): Random {
  let state = seed | 0 || 0x9e3779b9;
  return {
    next() {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 4294967296;
    },
  };
}

/** Whether chance takes one of this share, for instance 1 of 100; a share of all or of nothing asks nobody. */
export function isDrawn(
  { numerator, denominator }: { readonly numerator: number; readonly denominator: number },
  random: Random,
): boolean {
  return numerator >= denominator || (numerator > 0 && random.next() * denominator < numerator);
}
