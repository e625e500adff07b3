// What probes by HTTP and HTTPS have in common: what is asked, and what the answer's status means.
import type { ProbeResult, ProbeTarget } from "./probe.ts";

export type HttpCheck = Extract<ProbeTarget["check"]["check"], { kind: "http" }>;

export interface CheckRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: { readonly host: string; readonly "user-agent": string };
}

export function requestOf(target: ProbeTarget, check: HttpCheck): CheckRequest {
  const host = check.host === "" ? target.cluster.name : check.host;
  return {
    method: check.method === "" ? "GET" : check.method,
    path: check.path,
    headers: { host, "user-agent": "heddle-health" },
  };
}

/** What of an answer says how the endpoint is. */
export interface CheckAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * Without expected statuses only 200 is healthy (Envoy `expected_statuses`); retriable ones are failures as any other. The field
 * `x-envoy-degraded`, whatever its value, says that others should have the requests first.
 */
export function judgeAnswer(
  { expectedStatuses, retriableStatuses }: HttpCheck,
  { status, headers }: CheckAnswer,
): ProbeResult {
  const isIn = ({ start, end }: HttpCheck["expectedStatuses"][number]): boolean => status >= start && status < end;
  if (expectedStatuses.length === 0 ? status === 200 : expectedStatuses.some(isIn))
    return headers["x-envoy-degraded"] === undefined ? "healthy" : "degraded";
  return retriableStatuses?.some(isIn) === true ? "failed" : "refused";
}
