// What the transcoder answers itself.
import type { LocalReply } from "../filter.ts";

/** A message of the request is larger than may be kept. */
export class BodyTooLargeError extends Error {}

export function replyBadRequest(detail: string): LocalReply {
  return {
    status: 400,
    flag: "DPE",
    code: "grpc_json_bad_request",
    proxyStatus: "http_request_error",
    detail: `the request cannot be transcoded: ${detail}`,
  };
}

export function replyUnknownMethod(method: string, path: string): LocalReply {
  return {
    status: 404,
    flag: "NR",
    code: "grpc_json_unknown_method",
    proxyStatus: "destination_not_found",
    detail: `${method} ${path} is no method of the services that are transcoded`,
  };
}

export function replyTooLarge(limit: number): LocalReply {
  return {
    status: 413,
    flag: "DPE",
    code: "grpc_json_too_large",
    proxyStatus: "http_request_error",
    detail: `the request has more than ${limit} bytes, which is the most that is transcoded`,
  };
}

export function replyBadResponse(detail: string): LocalReply {
  return {
    status: 502,
    flag: "UPE",
    code: "grpc_json_bad_response",
    proxyStatus: "http_protocol_error",
    detail: `the answer cannot be transcoded: ${detail}`,
  };
}
