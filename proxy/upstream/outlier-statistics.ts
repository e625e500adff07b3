// Who answers worse than the others: success rate against the mean of all, and failure percentage against a threshold.
import type { OutlierDetection } from "#config/model/cluster.ts";
import type { EndpointState } from "./endpoint-state.ts";

export interface Outlier {
  readonly host: EndpointState;
  readonly enforcingPercent: number;
  readonly reason: string;
}

/**
 * Looks at the counts of one interval. Success rate: below mean - stdev * factor / 1000, among at least
 * `successRateMinimumHosts` with `successRateRequestVolume` requests each; failure percentage likewise, at or above its threshold.
 */
export function findOutliers(hosts: readonly EndpointState[], settings: OutlierDetection): readonly Outlier[] {
  const found: Outlier[] = [];
  if (settings.enforcingSuccessRate > 0) {
    const judged = hosts.filter(({ outlier }) => isJudged(outlier, settings.successRateRequestVolume));
    if (judged.length > 0 && judged.length >= settings.successRateMinimumHosts) {
      const limit = successLimit(judged.map(successRate), settings.successRateStdevFactor / 1000);
      for (const host of judged) {
        if (successRate(host) >= limit) continue;
        const reason = `success rate ${successRate(host).toFixed(1)} % below ${limit.toFixed(1)} %`;
        found.push({ host, enforcingPercent: settings.enforcingSuccessRate, reason });
      }
    }
  }
  if (settings.enforcingFailurePercentage > 0) {
    const judged = hosts.filter(({ outlier }) => isJudged(outlier, settings.failurePercentageRequestVolume));
    if (judged.length > 0 && judged.length >= settings.failurePercentageMinimumHosts) {
      for (const host of judged) {
        const failures = 100 - successRate(host);
        if (failures < settings.failurePercentageThreshold) continue;
        const reason = `failure percentage ${failures.toFixed(1)} % at or above ${settings.failurePercentageThreshold} %`;
        found.push({ host, enforcingPercent: settings.enforcingFailurePercentage, reason });
      }
    }
  }
  return found;
}

function isJudged(counts: EndpointState["outlier"], volume: number): boolean {
  return !counts.isEjected && counts.intervalTotal > 0 && counts.intervalTotal >= volume;
}

function successRate({ outlier }: EndpointState): number {
  return (outlier.intervalSuccesses * 100) / outlier.intervalTotal;
}

function successLimit(rates: readonly number[], factor: number): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return mean - factor * Math.sqrt(variance);
}
