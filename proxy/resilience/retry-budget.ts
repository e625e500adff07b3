// How many retries may run at once: a share of what runs anyway, so that retries never become the load.

export interface RetryBudgetPolicy {
  readonly percent: number;
  readonly minConcurrency: number;
}

/**
 * Envoy's retry budget (config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget; 20 %, 3): retries in flight may be `percent`
 * of the requests that are active or pending, and `minConcurrency` however few those are.
 */
export function retryLimit(policy: RetryBudgetPolicy | undefined, maxRetries: number, activeRequests: number): number {
  if (policy === undefined) return maxRetries;
  return Math.max(policy.minConcurrency, Math.floor((activeRequests * policy.percent) / 100));
}
