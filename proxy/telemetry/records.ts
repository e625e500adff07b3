// What outlives an exchange: the record that `heddle explain` prints, and the span of a sampled request. Both are plain data that
// crosses threads.
import { formatAddress } from "#config/model/address.ts";
import type { AttemptOutcome } from "#filters/filter.ts";
import type { HttpExchange } from "#proxy/stream/exchange.ts";

/** Why a request got what it got, at one proxy. Times in ms. */
export interface ExplainRecord {
  readonly requestId: string;
  readonly time: string;
  readonly direction: string;
  readonly listener: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly flags: readonly string[];
  /** The code and the sentence of a local reply. */
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly rule: string | undefined;
  readonly route: string | undefined;
  readonly cluster: string | undefined;
  readonly attempts: readonly ExplainAttempt[];
  readonly durationMs: number;
  readonly configVersion: string;
  readonly traceId: string;
  readonly peerIdentity: string | undefined;
  readonly notes: Readonly<Record<string, string | number | boolean>>;
}

export interface ExplainAttempt {
  readonly endpoint: string | undefined;
  readonly startMs: number;
  readonly durationMs: number;
  readonly outcome: string;
}

export function makeExplainRecord(exchange: HttpExchange): ExplainRecord {
  const { request, service, connection, localReply } = exchange;
  return {
    requestId: exchange.requestId,
    time: new Date(service.clock.wallMs() - (service.clock.nowMs() - exchange.startMs)).toISOString(),
    direction: connection.direction,
    listener: service.listener.name,
    method: request.get(":method") ?? "",
    authority: request.get(":authority") ?? "",
    path: request.get(":path") ?? "",
    status: exchange.status,
    grpcStatus: exchange.grpcStatus,
    flags: [...exchange.flags],
    code: localReply?.code,
    detail: localReply?.detail,
    rule: localReply?.rule === "" ? undefined : localReply?.rule,
    route: exchange.route?.name,
    cluster: exchange.cluster?.name,
    attempts: exchange.attempts.map((attempt) => ({
      endpoint: attempt.endpoint === undefined ? undefined : formatAddress(attempt.endpoint),
      startMs: round(attempt.startMs - exchange.startMs),
      durationMs: round((attempt.endMs === 0 ? exchange.endMs : attempt.endMs) - attempt.startMs),
      outcome: describeOutcome(attempt.outcome),
    })),
    durationMs: round(exchange.endMs - exchange.startMs),
    configVersion: service.version,
    traceId: exchange.trace.traceId,
    peerIdentity: connection.peerIdentity,
    notes: Object.fromEntries(exchange.notes),
  };
}

function describeOutcome(outcome: AttemptOutcome | undefined): string {
  if (outcome === undefined) return "no answer";
  if (outcome.kind === "failure") return `${outcome.reason}: ${outcome.detail}`;
  return outcome.grpcStatus === undefined
    ? `${outcome.status}`
    : `${outcome.status}, grpc-status ${outcome.grpcStatus}`;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** The last records of one thread; a ring, so that memory is bounded. */
export class ExplainRing {
  readonly #capacity: number;
  readonly #records: ExplainRecord[] = [];
  #next = 0;

  constructor(capacity = 2048) {
    this.#capacity = capacity;
  }

  add(record: ExplainRecord): void {
    this.#records[this.#next] = record;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  find(requestId: string): readonly ExplainRecord[] {
    return this.#records.filter((record) => record.requestId === requestId);
  }

  /** Newest first. */
  latest(count: number): readonly ExplainRecord[] {
    const ordered = [...this.#records.slice(this.#next), ...this.#records.slice(0, this.#next)];
    return ordered.toReversed().slice(0, count);
  }
}

/** One finished span; times are Unix ms. */
export interface SpanRecord {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: "server" | "client";
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly isError: boolean;
}

/** OpenTelemetry's HTTP semantic conventions; gRPC's status beside them. */
export function makeSpanRecord(exchange: HttpExchange): SpanRecord {
  const { request, service, connection, trace } = exchange;
  const method = request.get(":method") ?? "";
  const attributes: Record<string, string | number | boolean> = {
    "http.request.method": method,
    "url.path": (request.get(":path") ?? "").split("?", 1)[0] ?? "",
    "server.address": request.get(":authority") ?? "",
    "http.response.status_code": exchange.status,
    "heddle.direction": connection.direction,
    "heddle.request_id": exchange.requestId,
    "heddle.listener": service.listener.name,
  };
  if (exchange.route !== undefined) attributes["http.route"] = exchange.route.name;
  if (exchange.cluster !== undefined) attributes["heddle.cluster"] = exchange.cluster.name;
  if (exchange.attempts.length > 1) attributes["http.request.resend_count"] = exchange.attempts.length - 1;
  if (exchange.grpcStatus !== undefined) attributes["rpc.grpc.status_code"] = exchange.grpcStatus;
  if (exchange.flags.length > 0) attributes["heddle.response_flags"] = exchange.flags.join(",");
  if (connection.peerIdentity !== undefined) attributes["heddle.peer_identity"] = connection.peerIdentity;
  const endpoint = exchange.attempts.at(-1)?.endpoint;
  if (endpoint !== undefined) attributes["network.peer.address"] = formatAddress(endpoint);
  const isServer = connection.direction === "inbound";
  const offset = service.clock.wallMs() - service.clock.nowMs();
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    traceState: trace.traceState,
    name: exchange.route?.name ?? method,
    kind: isServer ? "server" : "client",
    startMs: exchange.startMs + offset,
    endMs: exchange.endMs + offset,
    attributes,
    isError:
      exchange.status >= 500 ||
      exchange.status === 0 ||
      (exchange.grpcStatus !== undefined && exchange.grpcStatus !== 0 && !isServer),
  };
}
