// Envoy's counters and gauges beside what Heddle counts of the same: the table, and how both are read.

/** Where the numbers of one case stand. */
export interface Scope {
  /** The case's own name, that of its listener and its stat_prefix. */
  readonly prefix: string;
  /** Name of the cluster in both processes. undefined: the counter is the listener's. */
  readonly cluster: string | undefined;
}

export interface EnvoyStats {
  readonly kind: "envoy";
  /** By the name of the statistic. */
  readonly values: ReadonlyMap<string, number>;
}

export interface HeddleStats {
  readonly kind: "heddle";
  readonly samples: readonly Sample[];
  readonly clusters: readonly ClusterStatus[];
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface ClusterStatus {
  readonly name: string;
  readonly endpoints: readonly { readonly health: string; readonly isEjected: boolean }[];
}

type ReadHeddle = (stats: HeddleStats, scope: Scope) => number;

/** Sums a metric over the series whose labels are so. */
function sum(
  name: string,
  labels: (scope: Scope) => Readonly<Record<string, string | RegExp>>,
): (stats: HeddleStats, scope: Scope) => number {
  return ({ samples }, scope) => {
    const wanted = Object.entries(labels(scope));
    const fits = (sample: Sample): boolean =>
      sample.name === name &&
      wanted.every(([key, value]) => {
        const found = sample.labels[key] ?? "";
        return typeof value === "string" ? found === value : value.test(found);
      });
    return samples.filter(fits).reduce((total, { value }) => total + value, 0);
  };
}

const ofListener = ({ prefix }: Scope): Record<string, string> => ({ listener: prefix });
const ofCluster = ({ cluster = "" }: Scope): Record<string, string> => ({ cluster });
const faults = (kind: string) => sum("heddle_faults_injected_total", (scope) => ({ ...ofListener(scope), kind }));
const byFlag = (flag: RegExp) =>
  sum("heddle_requests_total", ({ cluster = "" }) => ({ destination: cluster, response_flags: flag }));

/**
 * By Envoy's name below `cluster.NAME.` or, for those of the listener, the whole name with `${case}` for its stat_prefix.
 * `upstream_rq_NNN` and `upstream_rq_Nxx` are read beside it. A line is all that a new counter needs.
 */
const TABLE: Readonly<Record<string, ReadHeddle>> = {
  upstream_rq_timeout: byFlag(/\bUT\b/),
  upstream_rq_pending_overflow: byFlag(/\bUO\b/),
  upstream_rq_retry: sum("heddle_retries_total", ofListener),
  upstream_rq_retry_limit_exceeded: sum("heddle_retries_exhausted_total", ofListener),
  upstream_rq_retry_overflow: sum("heddle_retries_over_budget_total", ofListener),
  upstream_cx_active: sum("heddle_upstream_connections", ofCluster),
  "outlier_detection.ejections_active": sum("heddle_ejected_endpoints", ofCluster),
  membership_total: ({ clusters }, { cluster }) => endpointsOf(clusters, cluster).length,
  membership_healthy: ({ clusters }, { cluster }) =>
    endpointsOf(clusters, cluster).filter(({ health, isEjected }) => health !== "unhealthy" && !isEjected).length,
  "http.${case}.fault.aborts_injected": faults("abort"),
  "http.${case}.fault.delays_injected": faults("delay"),
  "http.${case}.fault.response_rl_injected": faults("response_rate_limit"),
  "http.${case}.fault.faults_overflow": sum("heddle_faults_overflow_total", ofListener),
  "http.${case}.adaptive_concurrency.gradient_controller.rq_blocked": sum(
    "heddle_adaptive_concurrency_blocked_total",
    ofListener,
  ),
  "http.${case}.adaptive_concurrency.gradient_controller.concurrency_limit": sum(
    "heddle_adaptive_concurrency_limit",
    ofListener,
  ),
  "http.${case}.adaptive_concurrency.gradient_controller.min_rtt_calculation_active": sum(
    "heddle_adaptive_concurrency_measuring",
    ofListener,
  ),
  "http.${case}.admission_control.rq_rejected": sum("heddle_admission_control_rejected_total", ofListener),
  "http.${case}.admission_control.rq_success": sum("heddle_admission_control_success_total", ofListener),
  "http.${case}.admission_control.rq_failure": sum("heddle_admission_control_failure_total", ofListener),
  "${case}.http_local_rate_limit.rate_limited": sum("heddle_rate_limited_total", ofListener),
};

function endpointsOf(clusters: readonly ClusterStatus[], name: string | undefined): ClusterStatus["endpoints"] {
  return clusters.find((cluster) => cluster.name === name)?.endpoints ?? [];
}

/** @throws when the table has no such counter. */
export function readCounter(stats: EnvoyStats | HeddleStats, scope: Scope, name: string): number {
  if (stats.kind === "envoy") {
    const cluster = scope.cluster?.replaceAll(":", "_");
    const stat = cluster === undefined ? name.replace("${case}", scope.prefix) : `cluster.${cluster}.${name}`;
    return stats.values.get(stat) ?? 0;
  }
  const code = /^upstream_rq_(?:(\d\d\d)|(\d)xx)$/.exec(name);
  const read =
    code === null
      ? TABLE[name.replace(scope.prefix, "${case}")]
      : sum("heddle_requests_total", ({ cluster = "" }) => ({
          destination: cluster,
          code: code[1] ?? new RegExp(`^${code[2] ?? ""}`),
        }));
  if (read === undefined) throw new Error(`counters.ts has no ${name}: add a line that says what Heddle counts of it`);
  return read(stats, scope);
}

/** From `/stats?format=text` of Envoy's admin: a line "name: value" for each. */
export function parseEnvoyStats(text: string): EnvoyStats {
  const pairs = [...text.matchAll(/^(.+): (\d+)$/gm)].map(([, name = "", value]): [string, number] => [
    name,
    Number(value),
  ]);
  return { kind: "envoy", values: new Map(pairs) };
}

/** From `/stats` (Prometheus' text) and `/clusters` of Heddle's admin. */
export function parseHeddleStats(text: string, clusters: string): HeddleStats {
  const samples = [...text.matchAll(/^([a-z0-9_]+)(?:\{(.*)\})? ([\d.e+-]+)$/gm)].map(
    ([, name = "", labels = "", value]): Sample => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = "", label = ""]) => [key, label]),
      ),
      value: Number(value),
    }),
  );
  return { kind: "heddle", samples, clusters: JSON.parse(clusters) as ClusterStatus[] }; // as: Heddle's admin page
}
