// What the admin port (15000, loopback only) and the metrics port (15020) answer.
import type { ApplicationSettings } from "#config/kubernetes/application.ts";
import type { DataPlaneSnapshot } from "#proxy/app/snapshot.ts";
import type { LogLevel, LogThreshold } from "#lib/log.ts";
import {
  mergeSnapshots,
  METRICS_TYPES,
  renderPrometheus,
  type Metrics,
  type MetricsSnapshot,
} from "#proxy/telemetry/metrics.ts";
import { describeFindings } from "#proxy/telemetry/trace-watch.ts";
import type { ScopedState } from "#proxy/resilience/breakers.ts";
import type { WorkerPool } from "#proxy/worker/worker-pool.ts";

import type { AdminAnswer, AdminPage, AdminRequest, AdminRoutes } from "./http-endpoint.ts";
import { recordCpuProfile, takeHeapSnapshot } from "./profile.ts";

export interface AdminParts {
  readonly workers: WorkerPool;
  readonly metrics: Metrics;
  readonly threshold: LogThreshold;
  readonly node: string;
  /** What is in force. */
  readonly config: () => DataPlaneSnapshot;
  /** Undefined when ready, else why not. */
  readonly notReady: () => string | undefined;
  readonly certificate: () => object | undefined;
  readonly discovery: () => object | undefined;
  /** In a pod: the application whose metrics are shown here. */
  readonly application: ApplicationSettings | undefined;
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export function makeAdminRoutes(parts: AdminParts): AdminRoutes {
  return {
    ...makeMetricsRoutes(parts),
    "/config_dump": () => ({ body: dumpConfig(parts.config()) }),
    "/clusters": async () => ({ body: mergeStatus(await parts.workers.query({ kind: "clusters" })) }),
    "/breakers": async () => ({ body: mergeBreakers(await parts.workers.query({ kind: "breakers" })) }),
    "/listeners": () => ({
      body: [...parts.config().listeners.values()].map(({ name, address, direction }) => ({
        name,
        address,
        direction,
      })),
    }),
    "/server_info": () => ({
      body: {
        node: parts.node,
        version: parts.config().version,
        node_version: process.version,
        pid: process.pid,
        uptime_s: Math.round(process.uptime()),
        rss_bytes: process.memoryUsage.rss(),
      },
    }),
    "/certs": () => ({ body: parts.certificate() ?? {} }),
    "/discovery": () => ({ body: parts.discovery() ?? {} }),
    "/explain": (request) => explain(parts, request),
    "/logging": (request) => setLogging(parts, request),
    "/profile/cpu": (request) => profileCpu(parts, request),
    "/profile/heap": (request) => profileHeap(parts, request),
  };
}

/** The part that may be reached from outside the pod. */
export function makeMetricsRoutes(parts: AdminParts): AdminRoutes {
  const snapshot = async (): Promise<MetricsSnapshot> =>
    mergeSnapshots([parts.metrics.snapshot(), ...(await parts.workers.query({ kind: "metrics" }))]);
  const metrics = async (): Promise<AdminAnswer> => ({
    type: METRICS_TYPES.text,
    body: renderPrometheus(await snapshot(), "text"),
  });
  const ready = (): AdminAnswer => {
    const reason = parts.notReady();
    return reason === undefined ? { body: "LIVE\n" } : { status: 503, body: `${reason}\n` };
  };
  const { application } = parts;
  const merged = application?.metrics;
  const both = async ({ headers }: AdminRequest): Promise<AdminAnswer> => {
    if (application === undefined || merged === undefined) return metrics();
    const { readApplicationMetrics } = await import("#proxy/application/merged-metrics.ts");
    const timeoutSeconds = headers["x-prometheus-scrape-timeout-seconds"];
    const page = await readApplicationMetrics(merged, {
      address: application.addresses[0] ?? "127.0.0.1",
      accept: headers.accept,
      timeoutSeconds: typeof timeoutSeconds === "string" ? timeoutSeconds : undefined,
    });
    const end = page.format === "openmetrics" ? "# EOF\n" : "";
    return {
      type: METRICS_TYPES[page.format],
      body: renderPrometheus(await snapshot(), page.format) + page.text + end,
    };
  };
  return {
    "/metrics": both,
    "/stats": metrics,
    "/stats/prometheus": metrics,
    "/ready": ready,
    "/healthz/ready": ready,
  };
}

async function explain(parts: AdminParts, { query }: AdminRequest): Promise<AdminAnswer> {
  const requestId = query.get("id");
  const found =
    requestId === null
      ? await parts.workers.query({ kind: "latest", count: Number(query.get("count") ?? "20") || 20 })
      : await parts.workers.query({ kind: "explain", requestId });
  const findings = (await parts.workers.query({ kind: "findings" })).map((finding) => ({
    ...finding,
    sentence: describeFindings(parts.node, finding),
  }));
  return { body: { node: parts.node, records: found.flat(), findings } };
}

function setLogging(parts: AdminParts, { method, query }: AdminRequest): AdminAnswer {
  const wanted = query.get("level");
  if (wanted === null) return { body: { level: parts.threshold.level } };
  const level = LEVELS.find((known) => known === wanted);
  if (level === undefined) return { status: 400, body: `level must be one of ${LEVELS.join(", ")}: got "${wanted}"\n` };
  if (method !== "POST") return { status: 405, body: "use POST to change the level\n" };
  parts.threshold.level = level;
  parts.workers.setLogLevel(level);
  return { body: { level } };
}

const MAX_PROFILE_SECONDS = 300;

/** `?seconds=5&thread=worker|main&index=0`: a `.cpuprofile` of the first data thread unless something else is asked for. */
async function profileCpu(parts: AdminParts, { query }: AdminRequest): Promise<AdminAnswer> {
  const seconds = Number(query.get("seconds") ?? "5");
  if (!(seconds > 0 && seconds <= MAX_PROFILE_SECONDS))
    return {
      status: 400,
      body: `seconds must be above 0 and at most ${MAX_PROFILE_SECONDS}: got "${query.get("seconds")}"\n`,
    };
  const thread = threadOf(query);
  if (typeof thread === "object") return thread;
  if (thread === "main") return { type: "application/json", body: await recordCpuProfile(seconds) };
  const profile = await parts.workers.queryOne(thread, { kind: "cpu-profile", seconds });
  return profile === undefined ? noThread(thread) : { type: "application/json", body: profile };
}

/** `?thread=worker|main&index=0`: a `.heapsnapshot`; the thread stands still while it is made. */
async function profileHeap(parts: AdminParts, { query }: AdminRequest): Promise<AdminAnswer> {
  const thread = threadOf(query);
  if (typeof thread === "object") return thread;
  if (thread === "main") return { type: "application/json", body: await takeHeapSnapshot() };
  const snapshot = await parts.workers.queryOne(thread, { kind: "heap-snapshot" });
  return snapshot === undefined ? noThread(thread) : { type: "application/json", body: Buffer.from(snapshot) };
}

/** The number of a data thread, `main`, or the answer to a wrong query. */
function threadOf(query: URLSearchParams): number | "main" | AdminPage {
  const thread = query.get("thread") ?? "worker";
  if (thread === "main") return "main";
  const index = Number(query.get("index") ?? "0");
  if (thread === "worker" && Number.isInteger(index) && index >= 0) return index;
  return {
    status: 400,
    body: `thread must be main or worker, and index the number of a worker: got "${query.toString()}"\n`,
  };
}

function noThread(index: number): AdminAnswer {
  return { status: 404, body: `There is no data thread ${index}, or it died\n` };
}

function dumpConfig(config: DataPlaneSnapshot): object {
  return {
    version: config.version,
    listeners: withoutKeys([...config.listeners.values()]),
    routes: [...config.routes.values()],
    clusters: withoutKeys([...config.clusters.values()]),
    endpoints: [...config.assignments.values()],
    // Keys never leave the proxy, not even here.
    secrets: [...config.secrets.values()].map(({ kind, name }) => ({ kind, name })),
  };
}

/** TLS contexts may hold keys inline. */
function withoutKeys(value: object): object {
  return JSON.parse(
    JSON.stringify(value, (key, field: unknown) => (key === "keyPem" ? "(not shown)" : field)),
  ) as object; // as: it was an object
}

/** The state is shared by all threads: one that has not looked at it yet still knows it. */
function mergeBreakers(answers: readonly (readonly ScopedState[])[]): readonly ScopedState[] {
  return [...new Map(answers.flat().map((one) => [`${one.scope}\u0000${one.key}`, one])).values()];
}

/** Sums what workers count each for themselves; the rest is the same on all of them. */
function mergeStatus(all: readonly (readonly import("#proxy/worker/protocol.ts").ClusterStatus[])[]): object {
  const [first = [], ...others] = all;
  return first.map((cluster) => ({
    ...cluster,
    endpoints: cluster.endpoints.map((endpoint) => {
      const same = others.flatMap(
        (clusters) =>
          clusters
            .find(({ name }) => name === cluster.name)
            ?.endpoints.filter(({ address }) => address === endpoint.address) ?? [],
      );
      return {
        ...endpoint,
        connections: same.reduce((sum, other) => sum + other.connections, endpoint.connections),
        activeRequests: same.reduce((sum, other) => sum + other.activeRequests, endpoint.activeRequests),
      };
    }),
  }));
}
