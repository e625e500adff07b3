// What the mesh answers itself: the one table from cause to answer, and the bytes of it.
import type { AttemptFailure, LocalReply } from "#filters/filter.ts";
import { encodeGrpcMessage, grpcStatusFor } from "#lib/grpc/status.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

/**
 * On an answer of our own to a peer in the mesh: nothing of the request went anywhere, so that it may be sent to another instance,
 * whatever its method.
 */
export const UNPROCESSED = "heddle-unprocessed";

export interface RenderedReply {
  readonly head: HeaderBlock;
  readonly body: Buffer;
}

/** Each way in which an attempt fails, as Envoy answers it; error types of RFC 9209 §2.3. */
const FAILURES = {
  "connect-failure": { status: 503, flag: "UF", code: "upstream_connect_failure", proxyStatus: "connection_refused" },
  "connect-timeout": { status: 503, flag: "UF", code: "upstream_connect_timeout", proxyStatus: "connection_timeout" },
  tls: { status: 503, flag: "UF", code: "upstream_tls_failure", proxyStatus: "tls_certificate_error" },
  "refused-stream": { status: 503, flag: "UR", code: "upstream_refused_stream", proxyStatus: "connection_terminated" },
  reset: { status: 503, flag: "UC", code: "upstream_reset", proxyStatus: "connection_terminated" },
  "reset-before-request": {
    status: 503,
    flag: "UC",
    code: "upstream_reset_before_request",
    proxyStatus: "connection_terminated",
  },
  protocol: { status: 502, flag: "UPE", code: "upstream_protocol_error", proxyStatus: "http_protocol_error" },
  unsayable: { status: 400, flag: "DPE", code: "request_not_expressible", proxyStatus: "http_request_error" },
  "per-try-timeout": {
    status: 504,
    flag: "UT",
    code: "upstream_per_try_timeout",
    proxyStatus: "http_response_timeout",
  },
  "no-healthy-endpoint": {
    status: 503,
    flag: "UH",
    code: "no_healthy_upstream",
    proxyStatus: "destination_unavailable",
  },
  overflow: { status: 503, flag: "UO", code: "upstream_overflow", proxyStatus: "connection_limit_reached" },
} as const satisfies Record<AttemptFailure, Pick<LocalReply, "status" | "flag" | "code" | "proxyStatus">>;

/** The answer to a request whose last attempt failed so. */
export function replyForFailure(reason: AttemptFailure, detail: string): LocalReply {
  const row = FAILURES[reason];
  const reply = { ...row, detail };
  return reason === "overflow" ? { ...reply, headers: [["x-envoy-overloaded", "true"]] } : reply;
}

/** Who is answered, and what about. */
export interface ReplyContext {
  readonly requestId: string;
  readonly isGrpc: boolean;
  /** The method was HEAD: no body. */
  readonly isHead: boolean;
  /** How this proxy names itself: an RFC 8941 token, or it is quoted. */
  readonly proxyName: string;
  /** The client may know rule, endpoint and reason (contracts.md: local replies); others get the code and no more. */
  readonly isTrusted: boolean;
  readonly endpoint: string | undefined;
}

/** `application/problem+json`, or a trailers-only gRPC answer. */
export function renderReply(reply: LocalReply, context: ReplyContext): RenderedReply {
  if (reply.isPlain === true) return renderPlain(reply);
  const { requestId, isTrusted } = context;
  const title = isTrusted ? reply.detail : reply.code.replaceAll("_", " ");
  const head = new HeaderBlock();
  if (context.isGrpc) {
    head.add(":status", "200");
    head.add("content-type", "application/grpc");
    head.add("grpc-status", String(reply.grpcStatus ?? grpcStatusFor(reply.status)));
    head.add("grpc-message", encodeGrpcMessage(title));
  } else {
    head.add(":status", String(reply.status));
  }
  for (const [name, value] of reply.headers ?? []) head.add(name, value);
  if (reply.isUnprocessed === true) head.add(UNPROCESSED, "1");
  const details = isTrusted ? `; details=${quote(reply.detail)}` : "";
  head.add("proxy-status", `${formatItem(context.proxyName)}; error=${reply.proxyStatus}${details}`);
  if (requestId !== "") head.set("x-request-id", requestId);
  // 204 has no body (RFC 9110 §15.3.5).
  if (context.isGrpc || reply.status === 204) return { head, body: NOTHING };
  const { status, code } = reply;
  const problem = { type: `https://heddle.dev/errors/${code}`, status, title, code, requestId };
  const inside = isTrusted ? { rule: reply.rule === "" ? undefined : reply.rule, endpoint: context.endpoint } : {};
  const body = Buffer.from(`${JSON.stringify({ ...problem, ...inside })}\n`);
  head.add("content-type", "application/problem+json");
  head.add("content-length", String(body.length));
  return { head, body: context.isHead ? NOTHING : body };
}

function renderPlain({ status, headers = [] }: LocalReply): RenderedReply {
  return { head: HeaderBlock.of([":status", String(status)], ...headers, ["content-length", "0"]), body: NOTHING };
}

/** A `Proxy-Status` without what only the mesh may know: the details of every hop (RFC 9209 §2.1.4). */
export function withoutDetails(proxyStatus: string): string {
  return proxyStatus.replaceAll(/;\s*details="(?:[^"\\]|\\.)*"/g, "");
}

const NOTHING = Buffer.alloc(0);

function formatItem(name: string): string {
  return /^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*$/.test(name) ? name : quote(name);
}

/** An RFC 8941 string: printable ASCII, quotes and backslashes escaped. */
function quote(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7e]/g, "?").replaceAll(/["\\]/g, "\\$&")}"`;
}
