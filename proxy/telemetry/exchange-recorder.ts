// Makes everything that is recorded of an exchange when it is over: metrics, access log lines, the explain record, the span.
import type { AccessLog } from "#config/model/telemetry.ts";
import type { HttpExchange } from "#proxy/stream/exchange.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import type { ExchangeObserver } from "#proxy/stream/observer.ts";

import { compileAccessLog, type LineFile, type LineMaker } from "./access-log.ts";
import type { Counter, Histogram, Metrics } from "./metrics.ts";
import { makeExplainRecord, makeSpanRecord, type ExplainRing, type SpanRecord } from "./records.ts";
import type { TraceWatch } from "./trace-watch.ts";

/** What is kept of answers that the mesh did not make: those slower than this, ms, have a record too. */
const SLOW_MS = 5000;
/** Found again by their key; what goes beyond is looked up among the metrics each time. */
const MAX_SERIES = 4096;

export interface RecorderParts {
  readonly metrics: Metrics;
  readonly explain: ExplainRing;
  readonly traceWatch: TraceWatch;
  readonly onSpan: (span: SpanRecord) => void;
  readonly lineFile: (path: string) => LineFile;
}

/** The counters of exchanges of one kind, and the kind. */
interface Series {
  readonly requests: Counter;
  readonly duration: Histogram;
  readonly listener: string;
  readonly protocol: string;
  readonly status: number;
  /** gRPC's, -1 for none; 0 for others. */
  readonly code: number;
  readonly flags: string;
  readonly peer: string | undefined;
}

interface CompiledLog {
  readonly file: LineFile;
  readonly makeLine: LineMaker;
}

export class ExchangeRecorder implements ExchangeObserver {
  readonly #parts: RecorderParts;
  readonly #series = new Map<string, Series>();
  /** The series that a cluster's last exchange was counted in: mostly the next one's too, and found without making a key. */
  readonly #latest = new Map<string, Series>();
  readonly #logs = new WeakMap<readonly AccessLog[], readonly CompiledLog[]>();

  constructor(parts: RecorderParts) {
    this.#parts = parts;
  }

  onExchangeDone(exchange: HttpExchange): void {
    const { traceWatch, explain, onSpan } = this.#parts;
    this.#count(exchange);
    traceWatch.see(exchange);
    if (exchange.trace.isSampled && exchange.trace.traceId !== "") onSpan(makeSpanRecord(exchange));
    if (
      exchange.localReply !== undefined ||
      exchange.flags.length > 0 ||
      exchange.attempts.length > 1 ||
      exchange.status >= 500 ||
      exchange.endMs - exchange.startMs > SLOW_MS
    ) {
      explain.add(makeExplainRecord(exchange));
    }
    for (const { file, makeLine } of this.#logsOf(exchange.service)) {
      const out = file.begin();
      if (out === undefined) continue;
      makeLine(exchange, out);
      file.end();
    }
  }

  #count(exchange: HttpExchange): void {
    const { connection, service, status, isGrpc } = exchange;
    const destination = exchange.cluster?.altStatName ?? exchange.cluster?.name ?? "unknown";
    const protocol = isGrpc ? "grpc" : connection.protocol;
    const code = isGrpc ? (exchange.grpcStatus ?? -1) : 0;
    const flags = exchange.flags.length === 0 ? "-" : exchange.flags.join(",");
    let series = this.#latest.get(destination);
    if (
      series === undefined ||
      series.status !== status ||
      series.code !== code ||
      series.protocol !== protocol ||
      series.flags !== flags ||
      series.listener !== service.listener.name ||
      series.peer !== connection.peerIdentity
    ) {
      series = this.#find(exchange, destination, protocol, code, flags);
      this.#latest.set(destination, series);
    }
    series.requests.add(1);
    if (exchange.namesAnotherHost) this.#countOtherHost(service);
    series.duration.observe((exchange.endMs - exchange.startMs) / 1000);
  }

  #countOtherHost({ listener }: HttpService): void {
    const help = "Captured requests whose Host is no name of the service that they were going to, by listener.";
    this.#parts.metrics.counter("heddle_host_mismatches_total", help, { listener: listener.name }).add(1);
  }

  /** OpenTelemetry's names in Prometheus spelling; source and destination as service meshes count them. */
  #find(exchange: HttpExchange, destination: string, protocol: string, code: number, flags: string): Series {
    const { connection, service, status } = exchange;
    const key = `${service.listener.name}|${destination}|${status}|${code}|${protocol}|${flags}|${connection.peerIdentity ?? ""}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const identity = connection.direction === "inbound" ? connection.peerIdentity : connection.localIdentity;
    const labels = { direction: connection.direction, source: identity ?? "unknown", destination, protocol };
    const counted = {
      ...labels,
      code: String(status),
      grpc_status: exchange.isGrpc ? String(code) : "",
      response_flags: flags,
    };
    const { metrics } = this.#parts;
    const series: Series = {
      requests: metrics.counter(
        "heddle_requests_total",
        "Requests by source, destination, code and protocol.",
        counted,
      ),
      duration: metrics.histogram(
        "heddle_request_duration_seconds",
        "Time from a request's head to the end of its answer.",
        labels,
      ),
      listener: service.listener.name,
      protocol,
      status,
      code,
      flags,
      peer: connection.peerIdentity,
    };
    if (this.#series.size < MAX_SERIES) this.#series.set(key, series);
    return series;
  }

  #logsOf(service: HttpService): readonly CompiledLog[] {
    const configs = service.config.accessLogs;
    let logs = this.#logs.get(configs);
    if (logs === undefined) {
      logs = configs.map((config) => ({ file: this.#parts.lineFile(config.path), makeLine: compileAccessLog(config) }));
      this.#logs.set(configs, logs);
    }
    return logs;
  }
}
