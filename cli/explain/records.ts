// What proxies answer at /explain, read from JSON.
import { fieldOf, listOf, numberOf, textOf } from "../http-json.ts";

/** One proxy's story of one request (`ExplainRecord` of the proxy) with the proxy's name. */
export interface Hop {
  readonly node: string;
  readonly requestId: string;
  /** ISO 8601. */
  readonly time: string;
  readonly direction: string;
  readonly listener: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  /** 0: nothing was sent. */
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly flags: readonly string[];
  /** Set where this proxy made the answer itself. */
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly rule: string | undefined;
  readonly route: string | undefined;
  readonly cluster: string | undefined;
  readonly attempts: readonly HopAttempt[];
  readonly durationMs: number;
  readonly configVersion: string;
  readonly traceId: string;
  readonly peerIdentity: string | undefined;
  readonly notes: Readonly<Record<string, string>>;
}

export interface HopAttempt {
  readonly endpoint: string | undefined;
  readonly startMs: number;
  readonly durationMs: number;
  readonly outcome: string;
}

/** What one proxy said. */
export interface ExplainAnswer {
  readonly node: string;
  readonly hops: readonly Hop[];
  /** Sentences about the application beside it. */
  readonly findings: readonly string[];
}

/** Reads `/explain`; what is missing is empty, so that a proxy of another version is still understood. */
export function parseExplainAnswer(body: unknown): ExplainAnswer {
  const node = textOf(body, "node");
  return {
    node,
    hops: listOf(body, "records").map((record) => parseHop(record, node)),
    findings: listOf(body, "findings")
      .map((finding) => textOf(finding, "sentence"))
      .filter((sentence) => sentence !== ""),
  };
}

function parseHop(record: unknown, node: string): Hop {
  const grpcStatus = numberOf(record, "grpcStatus");
  return {
    node,
    requestId: textOf(record, "requestId"),
    time: textOf(record, "time"),
    direction: textOf(record, "direction"),
    listener: textOf(record, "listener"),
    method: textOf(record, "method"),
    authority: textOf(record, "authority"),
    path: textOf(record, "path"),
    status: orZero(numberOf(record, "status")),
    grpcStatus: Number.isNaN(grpcStatus) ? undefined : grpcStatus,
    flags: listOf(record, "flags").map(String),
    code: optional(record, "code"),
    detail: optional(record, "detail"),
    rule: optional(record, "rule"),
    route: optional(record, "route"),
    cluster: optional(record, "cluster"),
    attempts: listOf(record, "attempts").map((attempt) => ({
      endpoint: optional(attempt, "endpoint"),
      startMs: orZero(numberOf(attempt, "startMs")),
      durationMs: orZero(numberOf(attempt, "durationMs")),
      outcome: textOf(attempt, "outcome"),
    })),
    durationMs: orZero(numberOf(record, "durationMs")),
    configVersion: textOf(record, "configVersion"),
    traceId: textOf(record, "traceId"),
    peerIdentity: optional(record, "peerIdentity"),
    notes: Object.fromEntries(
      Object.keys(fieldOf(record, "notes") ?? {}).map((name) => [name, textOf(fieldOf(record, "notes"), name)]),
    ),
  };
}

function optional(value: unknown, name: string): string | undefined {
  const text = textOf(value, name);
  return text === "" ? undefined : text;
}

function orZero(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}

/** In the order in which the request met them: by time, and the caller's sidecar before the called one's. */
export function inOrder(hops: readonly Hop[]): readonly Hop[] {
  return hops.toSorted((left, right) => {
    const apart = Date.parse(left.time) - Date.parse(right.time);
    // Two clocks of one machine agree to the millisecond that the records have.
    if (Math.abs(apart) > 1) return apart;
    return rank(left) - rank(right) || apart;
  });
}

function rank({ direction }: Hop): number {
  return direction === "outbound" ? 0 : 1;
}

/** Not answered as it should be: by the mesh itself, with a server's error, or not at all. */
export function isFailure({ code, status, grpcStatus }: Hop): boolean {
  return code !== undefined || status >= 500 || status === 0 || (grpcStatus !== undefined && grpcStatus !== 0);
}
