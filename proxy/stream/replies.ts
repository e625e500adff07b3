// What an exchange answers by itself, apart from failed attempts (local-reply.ts): one function per cause.
import type { Cluster } from "#config/model/cluster.ts";
import type { LocalReply } from "#filters/filter.ts";
import { describeError } from "#lib/errors.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import { replyForFailure } from "./local-reply.ts";

/** `table`: its name; undefined = none has come yet. */
export function replyNoRoute(table: string | undefined, request: HeaderBlock): LocalReply {
  const asked = `${request.get(":method")} ${request.get(":authority")}${request.get(":path")}`;
  const detail = table === undefined ? "no route table has arrived yet" : `no route of ${table} matches ${asked}`;
  return { status: 404, flag: "NR", code: "route_not_found", proxyStatus: "destination_not_found", detail };
}

/** Not the same as "there is none": another request may find it. */
export function replyLookupFailed(host: string, reason: string): LocalReply {
  const detail = `the host ${host} could not be looked up: ${reason}`;
  return { status: 503, flag: "NR", code: "route_lookup_failed", proxyStatus: "destination_unavailable", detail };
}

export function replyNoCluster(route: string | undefined, cluster: string, status: number): LocalReply {
  const detail = `the route "${route}" names the cluster "${cluster}", which does not exist`;
  return { status, flag: "NC", code: "cluster_not_found", proxyStatus: "destination_not_found", detail };
}

export function replyUpgradeRefused(route: string | undefined): LocalReply {
  const detail = `the route "${route}" does not allow this upgrade`;
  return { status: 403, flag: "NR", code: "upgrade_refused", proxyStatus: "http_request_denied", detail };
}

export function replyClusterFull({ name, limits }: Cluster): LocalReply {
  const detail = `the cluster ${name} has ${limits.maxRequests} requests running, its limit`;
  return { ...replyForFailure("overflow", detail), isUnprocessed: true };
}

/** The client said how much it takes: it would end the stream, or the connection, over this head. */
export function replyHeadTooLarge(limitBytes: number): LocalReply {
  const detail = `the answer's headers are above the ${limitBytes} bytes that the client takes`;
  return {
    status: 502,
    flag: "UPE",
    code: "response_head_too_large",
    proxyStatus: "http_response_header_section_size",
    detail,
  };
}

export function replyFilterError(filter: string, error: unknown): LocalReply {
  const detail = `the filter ${filter} failed: ${describeError(error)}`;
  return { status: 500, flag: "LR", code: "filter_error", proxyStatus: "proxy_internal_error", detail };
}

export function replyFilterTimeout(timeoutMs: number): LocalReply {
  const detail = `a filter did not go on within ${timeoutMs} ms`;
  return { status: 500, flag: "LR", code: "filter_timeout", proxyStatus: "proxy_internal_error", detail };
}

/** Envoy: 504 once the request has come wholly, 408 while the client owes the rest of it. */
function timeoutStatus(isComplete: boolean): number {
  return isComplete ? 504 : 408;
}

export function replyIdle(isComplete: boolean): LocalReply {
  const detail = "nothing happened on the stream for its idle timeout";
  const status = timeoutStatus(isComplete);
  return { status, flag: "SI", code: "stream_idle_timeout", proxyStatus: "http_response_timeout", detail };
}

export function replyStreamTimeout(maxStreamMs: number, isComplete: boolean): LocalReply {
  const detail = `the stream lasted for ${maxStreamMs} ms, the longest that it may`;
  const status = timeoutStatus(isComplete);
  return {
    status,
    grpcStatus: 4,
    flag: "DT",
    code: "max_stream_duration",
    proxyStatus: "http_response_timeout",
    detail,
  };
}

export function replyRequestTimeout(timeoutMs: number): LocalReply {
  const detail = `the request did not arrive within ${timeoutMs} ms`;
  return { status: 408, flag: "DT", code: "request_timeout", proxyStatus: "http_request_error", detail };
}

export function replyTimeout(timeoutMs: number, attempts: number): LocalReply {
  const detail = `the request timed out after ${timeoutMs} ms and ${attempts} attempt${attempts === 1 ? "" : "s"}`;
  return {
    status: 504,
    flag: "UT",
    code: "upstream_timeout",
    proxyStatus: "http_response_timeout",
    grpcStatus: 4,
    detail,
  };
}
