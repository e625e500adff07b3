// One GET of the application on a connection of its own, HTTP/1.1 or, where TLS agrees on it, HTTP/2.
import http, { type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { formatAddress } from "#config/model/address.ts";
import { dialApplication, encryptUnverified } from "./dial.ts";

export interface ApplicationRequest {
  readonly address: string;
  readonly port: number;
  readonly scheme: "http" | "https";
  /** Path and query. */
  readonly path: string;
  /** Lower-case names; `host` included when it is not the address. */
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
  /** Of the body at most so many bytes are kept; the rest is not waited for. */
  readonly maxBodyBytes: number;
}

export interface ApplicationResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body was longer than what was kept. */
  readonly isCut: boolean;
}

/** Rejects when the application cannot be reached, breaks off, or the signal ends it. */
export async function getFromApplication(request: ApplicationRequest): Promise<ApplicationResponse> {
  const { address, port, scheme, signal } = request;
  const socket = await dialApplication(address, port, signal);
  const end = (): void => void socket.destroy();
  signal.addEventListener("abort", end, { once: true });
  try {
    const secure = scheme === "https" ? await encryptUnverified(socket, signal) : undefined;
    if (secure?.alpnProtocol === "h2") return await askHttp2(secure, request);
    return await askHttp1(secure ?? socket, request);
  } catch (error) {
    // What the signal ended says "reset" or "aborted" otherwise.
    throw signal.aborted ? new Error("it did not answer in time", { cause: error }) : error;
  } finally {
    signal.removeEventListener("abort", end);
    socket.destroy();
  }
}

function askHttp1(socket: Socket, request: ApplicationRequest): Promise<ApplicationResponse> {
  const { address, port, path, headers, maxBodyBytes } = request;
  return new Promise((resolve, reject) => {
    const call = http.request({
      createConnection: () => socket,
      path,
      headers: { host: formatAddress({ address, port }), ...headers, connection: "close" },
    });
    call.on("error", reject);
    call.once("response", (response) => {
      readBody(response, maxBodyBytes).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, ...body }),
        reject,
      );
    });
    // Nobody asked for it; without this, node would end the socket and say nothing.
    call.once("upgrade", ({ statusCode = 0, headers: head }) =>
      resolve({ status: statusCode, headers: head, body: Buffer.alloc(0), isCut: false }),
    );
    call.end();
  });
}

async function askHttp2(socket: Socket, request: ApplicationRequest): Promise<ApplicationResponse> {
  const http2 = await import("node:http2");
  const { host, ...headers } = request.headers;
  const authority = typeof host === "string" ? host : formatAddress(request);
  const session = http2.connect(`https://${formatAddress(request)}`, { createConnection: () => socket });
  try {
    return await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":path": request.path, ":authority": authority, ...headers });
      stream.on("error", reject);
      stream.once("response", (head) => {
        readBody(stream, request.maxBodyBytes).then(
          (body) => resolve({ status: head[":status"] ?? 0, headers: head, ...body }),
          reject,
        );
      });
      stream.once("close", () => reject(new Error("it closed the stream without an answer")));
    });
  } finally {
    session.destroy();
  }
}

async function readBody(stream: Readable, maxBytes: number): Promise<{ body: Buffer; isCut: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return { body: Buffer.concat(chunks).subarray(0, maxBytes), isCut: bytes > maxBytes };
}
