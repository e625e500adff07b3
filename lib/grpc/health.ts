// One call of grpc.health.v1.Health/Check on an HTTP/2 session of node.
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";

import { encodeFrame, FRAME_HEAD_BYTES } from "./frames.ts";
import { decodeGrpcMessage } from "./status.ts";

/** `HealthCheckResponse.ServingStatus.SERVING`. */
export const SERVING = 1;

const MAX_ANSWER_BYTES = 4096;

export interface HealthQuestion {
  /** "" = the whole server. */
  readonly service: string;
  readonly authority: string;
  readonly userAgent: string;
}

/** `serving` as in grpc.health.v1, 0 where it is not said; `refusal`: an answer that says something else, in words. */
export type HealthAnswer = { readonly serving: number } | { readonly refusal: string };

/** Rejects where the stream or the session breaks before there is an answer. Who owns the session listens to its errors. */
export function askHealth(session: ClientHttp2Session, question: HealthQuestion): Promise<HealthAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      ":authority": question.authority,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": question.userAgent,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let found: IncomingHttpHeaders = {};
    const take = (fields: IncomingHttpHeaders): void => {
      if (fields["grpc-status"] !== undefined) found = fields;
    };
    stream.on("error", reject);
    stream.on("response", (head) => {
      if (head[":status"] !== 200) resolve({ refusal: `it answered HTTP ${head[":status"] ?? "nothing"}` });
      take(head);
    });
    stream.on("trailers", take);
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) stream.destroy(new Error("its answer is no health check's"));
      else chunks.push(chunk);
    });
    stream.on("close", () => {
      const { "grpc-status": status, "grpc-message": text } = found;
      if (typeof status !== "string") reject(new Error("it closed the stream without a grpc-status"));
      else if (status === "0") resolve({ serving: decodeStatus(Buffer.concat(chunks).subarray(FRAME_HEAD_BYTES)) });
      else resolve({ refusal: `it answered grpc-status ${status}${describe(text)}` });
    });
    stream.end(encodeFrame(0, encodeRequest(question.service)));
  });
}

function describe(message: string | readonly string[] | undefined): string {
  return typeof message === "string" && message !== "" ? ` (${decodeGrpcMessage(message)})` : "";
}

/** `HealthCheckRequest { string service = 1 }`. */
function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service);
  if (text.length === 0) return text;
  const length: number[] = [];
  let rest = text.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([0x0a, ...length, rest]), text]);
}

/** `HealthCheckResponse { ServingStatus status = 1 }`, a small enum; 0 (UNKNOWN) when it is absent. */
function decodeStatus(bytes: Buffer): number {
  return bytes[0] === 0x08 ? (bytes[1] ?? 0) : 0;
}
