// The weight that an instance earns by its own load reports, as Envoy's client_side_weighted_round_robin computes it.
import type { LbPolicy } from "#config/model/cluster.ts";
import type { LoadReport } from "./load-report.ts";

type LoadSettings = Extract<LbPolicy, { kind: "weightedByLoad" }>;

/** Of one endpoint; survives changes of configuration. */
export class LoadWeight {
  #weight = 0;
  /** When the first of a row of reports came; 0 = there is none that counts. */
  #sinceMs = 0;
  #lastMs = 0;

  /** weight = requests/s / (utilisation + errors/s / requests/s * penalty); a report without either says nothing. */
  take(report: LoadReport, settings: LoadSettings, nowMs: number): void {
    const { requestsPerSecond: rate, errorsPerSecond } = report;
    if (rate <= 0) return;
    const utilization = utilizationOf(report, settings.metricNames) + (errorsPerSecond / rate) * settings.errorPenalty;
    if (utilization <= 0) return;
    this.#weight = Math.min(rate / utilization, 2 ** 32 - 1);
    if (this.#sinceMs === 0) this.#sinceMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Undefined: too new (blackout) or too old (expired) to be believed. */
  at(settings: LoadSettings, nowMs: number): number | undefined {
    if (this.#sinceMs === 0) return undefined;
    if (nowMs - this.#lastMs > settings.expirationMs) {
      this.#sinceMs = 0;
      return undefined;
    }
    return nowMs - this.#sinceMs < settings.blackoutMs ? undefined : this.#weight;
  }
}

/** What the application says of itself, else the greatest of the named metrics, else the CPU. */
function utilizationOf(report: LoadReport, names: readonly string[]): number {
  if (report.applicationUtilization > 0) return report.applicationUtilization;
  let greatest = 0;
  for (const name of names) greatest = Math.max(greatest, metricOf(report, name));
  return greatest > 0 ? greatest : report.cpuUtilization;
}

/** `NAME.*` is the greatest of that map. */
function metricOf(report: LoadReport, name: string): number {
  if (name === "cpu_utilization") return report.cpuUtilization;
  if (name === "mem_utilization") return report.memoryUtilization;
  if (name === "application_utilization") return report.applicationUtilization;
  if (!name.endsWith(".*")) return report.named.get(name) ?? 0;
  const prefix = name.slice(0, -1);
  let greatest = 0;
  for (const [key, value] of report.named) if (key.startsWith(prefix)) greatest = Math.max(greatest, value);
  return greatest;
}
