// Bounds for what chance decides: how far a fair result may lie from its mean before it counts as false.

/** Chance that a true claim is called false, for one check. The demo makes fewer than twenty, so all of them together stay below 1e-6. */
const FALSE_ALARM = 1e-8;

/** The whole range of successes of `n` trials that chance `p` explains; both tails outside together have less than `alpha`. */
export function binomialRange(
  n: number,
  p: number,
  alpha: number = FALSE_ALARM,
): { readonly low: number; readonly high: number } {
  const mode = Math.min(n, Math.floor((n + 1) * p));
  let low = 0;
  for (let tail = 0; low < mode; low += 1) {
    tail += Math.exp(logBinomial(n, low, p));
    if (tail > alpha / 2) break;
  }
  let high = n;
  for (let tail = 0; high > mode; high -= 1) {
    tail += Math.exp(logBinomial(n, high, p));
    if (tail > alpha / 2) break;
  }
  return { low, high };
}

/**
 * The least mean of `n` draws, uniform between 0 and `top`, that chance explains with probability 1 - alpha. A uniform
 * draw is strictly sub-Gaussian (its variance top²/12 bounds its moments), so the Chernoff bound exp(-6 n (t/top)²) holds
 * for every n, without assuming a normal distribution.
 */
export function leastUniformMean(n: number, top: number, alpha: number = FALSE_ALARM): number {
  return top / 2 - top * Math.sqrt(Math.log(1 / alpha) / (6 * n));
}

/** The least value that at least one of `n` draws, uniform between 0 and `top`, stays under with probability 1 - alpha. */
export function minimumOfUniform(n: number, top: number, alpha: number = FALSE_ALARM): number {
  return top * (1 - alpha ** (1 / n));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function logBinomial(n: number, k: number, p: number): number {
  if (p === 0) return k === 0 ? 0 : -Infinity;
  if (p === 1) return k === n ? 0 : -Infinity;
  return logFactorial(n) - logFactorial(k) - logFactorial(n - k) + k * Math.log(p) + (n - k) * Math.log1p(-p);
}

const logFactorials: number[] = [0];

function logFactorial(n: number): number {
  for (let next = logFactorials.length; next <= n; next += 1) {
    logFactorials.push((logFactorials[next - 1] ?? 0) + Math.log(next));
  }
  return logFactorials[n] ?? 0;
}
