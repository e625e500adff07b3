// How much of the traffic each priority gets, by the health of its endpoints (Envoy: load_balancing/priority, /panic_threshold).

export interface PriorityCounts {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

/** Shares in percent; all shares of a table add up to 100 unless there is no endpoint at all. */
export interface PriorityLoad {
  readonly healthyShare: number;
  readonly degradedShare: number;
  /** Too few are healthy: this priority uses all of its endpoints. */
  readonly isPanicking: boolean;
}

/**
 * Availability of a priority is healthy / total * overprovisioning (140: down to 71 % healthy it still carries everything). Traffic
 * goes to priority 0 as far as that is available, what is left over to the next; healthy endpoints of all priorities
 * come before degraded ones. When all together are less than 100 % available, a priority below the panic threshold uses all its
 * endpoints, and when all panic they share by their number.
 */
export function priorityLoads(
  counts: readonly PriorityCounts[],
  overprovisioningFactor: number,
  panicThresholdPercent: number,
): readonly PriorityLoad[] {
  const factor = overprovisioningFactor > 0 ? overprovisioningFactor : 140;
  const healthy = counts.map((count) => available(count.healthy, count.total, factor));
  const degraded = counts.map((count) => available(count.degraded, count.total, factor));
  const availability = Math.min(100, sum(healthy) + sum(degraded));
  const isPanicking = counts.map(
    (count) =>
      count.total > 0 &&
      availability < 100 &&
      ((count.healthy + count.degraded) * 100) / count.total < panicThresholdPercent,
  );
  const all = sum(counts.map((count) => count.total));
  if (all > 0 && counts.every((count, i) => count.total === 0 || isPanicking[i])) {
    return counts.map((count) => ({
      healthyShare: (count.total * 100) / all,
      degradedShare: 0,
      isPanicking: count.total > 0,
    }));
  }
  let left = 100;
  const take = (availabilityOf: number): number => {
    const share = availability === 0 ? 0 : Math.min(left, (availabilityOf * 100) / availability);
    left -= share;
    return share;
  };
  const healthyShares = healthy.map(take);
  const degradedShares = degraded.map(take);
  return counts.map((_, i) => ({
    healthyShare: healthyShares[i] ?? 0,
    degradedShare: degradedShares[i] ?? 0,
    isPanicking: isPanicking[i] ?? false,
  }));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function available(usable: number, total: number, factor: number): number {
  return total === 0 ? 0 : Math.min(100, (usable * factor) / total);
}
