// A `grpc` probe: one call of grpc.health.v1.Health/Check in plaintext on a connection of its own.
//
// Over node:http2, since the connection must come from a source address that grpc-js cannot be told.
import http2 from "node:http2";
import type { GrpcHealthProbe } from "#config/kubernetes/application.ts";
import { formatAddress } from "#config/model/address.ts";
import { encodeFrame, FRAME_HEAD_BYTES } from "#lib/grpc/frames.ts";
import { decodeGrpcMessage } from "#lib/grpc/status.ts";
import { dialApplication } from "./dial.ts";

const SERVING = 1;
const MAX_ANSWER_BYTES = 4096;

/** Resolves when the service is SERVING; rejects with the reason otherwise. */
export async function probeGrpc(probe: GrpcHealthProbe, address: string, signal: AbortSignal): Promise<void> {
  const socket = await dialApplication(address, probe.port, signal);
  const authority = formatAddress({ address, port: probe.port });
  const session = http2.connect(`http://${authority}`, { createConnection: () => socket });
  const end = (): void => session.destroy(new Error("it did not answer in time"));
  signal.addEventListener("abort", end, { once: true });
  try {
    const { status, message, body } = await ask(session, authority, encodeFrame(0, encodeRequest(probe.service)));
    if (status !== "0") throw new Error(`it answered grpc-status ${status}${message === "" ? "" : ` (${message})`}`);
    const serving = decodeStatus(body.subarray(FRAME_HEAD_BYTES));
    if (serving !== SERVING) throw new Error(`it says that it is not serving (status ${serving})`);
  } finally {
    signal.removeEventListener("abort", end);
    session.destroy();
  }
}

interface GrpcAnswer {
  readonly status: string;
  readonly message: string;
  readonly body: Buffer;
}

function ask(session: http2.ClientHttp2Session, authority: string, message: Buffer): Promise<GrpcAnswer> {
  return new Promise((resolve, reject) => {
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      ":authority": authority,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "kube-probe/heddle",
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let found: http2.IncomingHttpHeaders = {};
    const take = (fields: http2.IncomingHttpHeaders): void => {
      if (fields["grpc-status"] !== undefined) found = fields;
    };
    stream.on("error", reject);
    stream.on("response", (head) => {
      if (head[":status"] !== 200) reject(new Error(`it answered HTTP ${head[":status"] ?? "nothing"}`));
      take(head);
    });
    stream.on("trailers", take);
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) reject(new Error("its answer is no health check's"));
      else chunks.push(chunk);
    });
    stream.on("close", () => {
      const { "grpc-status": status, "grpc-message": text } = found;
      if (typeof status !== "string") reject(new Error("it closed the stream without a grpc-status"));
      else
        resolve({
          status,
          message: typeof text === "string" ? decodeGrpcMessage(text) : "",
          body: Buffer.concat(chunks),
        });
    });
    stream.end(message);
  });
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
