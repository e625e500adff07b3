// How many retries may run at once: a share of what runs anyway, so that retries never become the load.

export interface RetryBudgetPolicy {
  readonly percent: number;
  readonly minConcurrency: number;
}

/**
 * So many retries of what no upstream processed may always run under a budget: they cost no application anything, and there are
 * as many of them as requests while instances end, which is when nothing may be lost.
 */
export const unprocessedFloor = 50;

/**
 * Envoy's retry budget (config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget; 20 %, 3): retries in flight may be `percent`
 * of the requests that are active or pending, and `minConcurrency` however few those are.
 */
export function retryLimit(
  policy: RetryBudgetPolicy | undefined,
  maxRetries: number,
  activeRequests: number,
  isUnprocessed = false,
): number {
  if (policy === undefined) return maxRetries;
  const floor = isUnprocessed ? Math.max(policy.minConcurrency, unprocessedFloor) : policy.minConcurrency;
  return Math.max(floor, Math.floor((activeRequests * policy.percent) / 100));
}
