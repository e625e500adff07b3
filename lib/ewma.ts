// A mean that forgets: each new sample weighs more the longer the last one is ago, and a peak counts at once.

/**
 * Peak EWMA as Finagle and Linkerd have it: a sample above the mean replaces it, one below pulls it down with
 * weight 1 - e^(-elapsed/decay). Without samples the value decays towards 0 on reading, so that an endpoint that was slow
 * once is tried again.
 */
export function peakEwma(value: number, sample: number, elapsedMs: number, decayMs: number): number {
  if (sample > value) return sample;
  const keep = Math.exp(-Math.max(0, elapsedMs) / decayMs);
  return value * keep + sample * (1 - keep);
}

/** What is left of a value that got no sample for so long. */
export function decayed(value: number, elapsedMs: number, decayMs: number): number {
  return elapsedMs <= 0 ? value : value * Math.exp(-elapsedMs / decayMs);
}
