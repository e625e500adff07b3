// A health probe by HTTPS: ALPN says whether it is HTTP/2, which goes through http2-wrapper, or HTTP/1.1, which goes through
// undici. The socket is our own TLS, so that nothing is sent to a peer whose identity was not checked.
import http2, { type ClientHttp2Session } from "node:http2";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import http2Wrapper from "http2-wrapper";
import { Client } from "undici";
import { formatAddress } from "#config/model/address.ts";
import { type CheckAnswer, type HttpCheck, judgeAnswer, requestOf } from "./http-check.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./probe.ts";
import { connectSocket } from "./tcp-probe.ts";

type Connection =
  | { readonly kind: "http2"; readonly session: ClientHttp2Session }
  | { readonly kind: "http1"; readonly client: Client };

/** Keeps one connection, as Envoy's `reuse_connection`; a failed check gives it up. */
export class HttpsProbe implements Probe {
  readonly #target: ProbeTarget;
  readonly #check: HttpCheck;
  readonly #origin: string;
  #connection: Connection | undefined = undefined;

  constructor(target: ProbeTarget, check: HttpCheck) {
    this.#target = target;
    this.#check = check;
    this.#origin = `https://${formatAddress(target)}`;
  }

  async check(): Promise<ProbeResult> {
    try {
      const connection = (this.#connection ??= await this.#connect());
      const answer =
        connection.kind === "http2"
          ? await this.#askHttp2(connection.session)
          : await this.#askHttp1(connection.client);
      return judgeAnswer(this.#check, answer);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection?.kind === "http2") connection.session.destroy();
    else connection?.client.destroy().catch(() => undefined);
  }

  async #connect(): Promise<Connection> {
    const socket = await connectSocket(this.#target);
    if (!(socket instanceof TLSSocket) || socket.alpnProtocol !== "h2")
      return { kind: "http1", client: this.#makeClient(socket) };
    const session = http2.connect(this.#origin, { createConnection: () => socket });
    // Whoever waits for an answer hears of it too; without a listener the process would end.
    session.on("error", () => this.#forget(session));
    session.on("close", () => this.#forget(session));
    session.unref();
    return { kind: "http2", session };
  }

  #forget(session: ClientHttp2Session): void {
    if (this.#connection?.kind === "http2" && this.#connection.session === session) this.#connection = undefined;
  }

  #askHttp2(session: ClientHttp2Session): Promise<CheckAnswer> {
    const { method, path, headers } = requestOf(this.#target, this.#check);
    const { host, ...others } = headers;
    return new Promise((resolve, reject) => {
      const request = http2Wrapper.request(this.#origin + path, {
        h2session: session,
        method,
        // In HTTP/2 the host is the authority; both, and different, would be malformed (RFC 9113 §8.3.1).
        headers: { ":authority": host, ...others },
      });
      const timer = setTimeout(() => {
        reject(new Error(`${formatAddress(this.#target)} did not answer within ${this.#target.check.timeoutMs} ms`));
        request.destroy();
      }, this.#target.check.timeoutMs);
      request.once("response", (response: IncomingMessage) => {
        clearTimeout(timer);
        response.resume();
        resolve({ status: response.statusCode ?? 0, headers: response.headers });
      });
      request.on("error", (error: Error) => {
        clearTimeout(timer);
        reject(error);
      });
      request.end();
    });
  }

  async #askHttp1(client: Client): Promise<CheckAnswer> {
    const { statusCode, headers, body } = await client.request({
      ...requestOf(this.#target, this.#check),
      signal: AbortSignal.timeout(this.#target.check.timeoutMs),
    });
    await body.dump();
    return { status: statusCode, headers };
  }

  /** The first connection is the socket that ALPN was asked on; a later one is made anew. */
  #makeClient(first: Socket): Client {
    let next: Socket | undefined = first;
    return new Client(this.#origin, {
      connect: (_options, callback) => {
        const socket = next;
        next = undefined;
        (socket === undefined ? connectSocket(this.#target) : Promise.resolve(socket)).then(
          (ready) => callback(null, ready),
          (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
        );
      },
    });
  }
}
