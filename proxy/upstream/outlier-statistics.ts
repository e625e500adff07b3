// Who answers worse than the others: success rate against the mean of all, and failure percentage against a threshold.
import type { OutlierDetection } from "#config/model/cluster.ts";
import type { EndpointState } from "./endpoint-state.ts";

export interface Outlier {
  readonly host: EndpointState;
  readonly enforcingPercent: number;
  readonly reason: string;
}

/** Requests of one interval, and how many of them succeeded. */
interface Tally {
  readonly host: EndpointState;
  readonly total: number;
  readonly rate: number;
}

/**
 * Looks at the counts of one interval. Success rate: below mean - stdev * factor / 1000, among at least
 * `successRateMinimumHosts` with `successRateRequestVolume` requests each; failure percentage likewise, at or above its threshold. What
 * the proxy itself saw is judged apart where it is counted apart.
 */
export function findOutliers(hosts: readonly EndpointState[], settings: OutlierDetection): readonly Outlier[] {
  const answers = tally(hosts, ({ outlier }) => [outlier.intervalTotal, outlier.intervalSuccesses]);
  const found = [
    ...belowTheOthers(answers, settings, settings.enforcingSuccessRate, "success rate"),
    ...failingOften(answers, settings, settings.enforcingFailurePercentage, "failure percentage"),
  ];
  if (!settings.splitExternalLocalOriginErrors) return found;
  const local = tally(hosts, ({ outlier }) => [outlier.localIntervalTotal, outlier.localIntervalSuccesses]);
  const { enforcingLocalOriginSuccessRate, enforcingFailurePercentageLocalOrigin } = settings;
  return [
    ...found,
    ...belowTheOthers(local, settings, enforcingLocalOriginSuccessRate, "local-origin success rate"),
    ...failingOften(local, settings, enforcingFailurePercentageLocalOrigin, "local-origin failure percentage"),
  ];
}

function tally(
  hosts: readonly EndpointState[],
  countsOf: (host: EndpointState) => readonly [total: number, successes: number],
): readonly Tally[] {
  return hosts.flatMap((host) => {
    const [total, successes] = countsOf(host);
    return total === 0 || host.outlier.isEjected ? [] : { host, total, rate: (successes * 100) / total };
  });
}

function belowTheOthers(
  tallies: readonly Tally[],
  settings: OutlierDetection,
  enforcingPercent: number,
  what: string,
): readonly Outlier[] {
  const judged = tallies.filter(({ total }) => total >= settings.successRateRequestVolume);
  if (enforcingPercent === 0 || judged.length === 0 || judged.length < settings.successRateMinimumHosts) return [];
  const limit = successLimit(
    judged.map(({ rate }) => rate),
    settings.successRateStdevFactor / 1000,
  );
  return judged
    .filter(({ rate }) => rate < limit)
    .map(({ host, rate }) => {
      const reason = `${what} ${rate.toFixed(1)} % below ${limit.toFixed(1)} %`;
      return { host, enforcingPercent, reason };
    });
}

function failingOften(
  tallies: readonly Tally[],
  settings: OutlierDetection,
  enforcingPercent: number,
  what: string,
): readonly Outlier[] {
  const { failurePercentageThreshold: threshold } = settings;
  const judged = tallies.filter(({ total }) => total >= settings.failurePercentageRequestVolume);
  if (enforcingPercent === 0 || judged.length === 0 || judged.length < settings.failurePercentageMinimumHosts)
    return [];
  return judged
    .filter(({ rate }) => 100 - rate >= threshold)
    .map(({ host, rate }) => {
      const reason = `${what} ${(100 - rate).toFixed(1)} % at or above ${threshold} %`;
      return { host, enforcingPercent, reason };
    });
}

function successLimit(rates: readonly number[], factor: number): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return mean - factor * Math.sqrt(variance);
}
