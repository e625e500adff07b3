// What another HTTP/1 parser reads: llhttp in its strict mode, by way of node:http on a connection in memory.
import http from "node:http";
import { Duplex } from "node:stream";

export interface Parsed {
  readonly method: string;
  readonly url: string;
  /** Names and values as they came, in turns. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
  readonly isComplete: boolean;
}

export interface ParsedRequests {
  readonly requests: readonly Parsed[];
  /** The parser's code (`HPE_INVALID_HEADER_TOKEN`), or undefined. */
  readonly error: string | undefined;
}

const LIMITS = { maxHeaderSize: 1024 * 1024, insecureHTTPParser: false } as const;

/** The requests in these bytes, up to the first that is no HTTP to llhttp, or that leaves HTTP (CONNECT, Upgrade). */
export function parseRequests(bytes: Buffer): Promise<ParsedRequests> {
  return new Promise((resolve) => {
    const requests: { -readonly [Key in keyof Parsed]: Parsed[Key] }[] = [];
    let error: string | undefined;
    const server = http.createServer({ ...LIMITS, requireHostHeader: false });
    server.maxRequestsPerSocket = 0;
    server.maxHeadersCount = 0;
    const take = (request: http.IncomingMessage): { -readonly [Key in keyof Parsed]: Parsed[Key] } => {
      const { method = "", url = "", rawHeaders } = request;
      const parsed = { method, url, rawHeaders, body: "", isComplete: false };
      requests.push(parsed);
      return parsed;
    };
    const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      const parsed = take(request);
      request.setEncoding("latin1");
      request.on("data", (text: string) => (parsed.body += text));
      request.on("end", () => {
        parsed.isComplete = request.complete;
        response.end();
      });
      request.on("error", () => undefined);
    };
    server.on("request", answer).on("checkContinue", answer).on("checkExpectation", answer);
    const leave = (request: http.IncomingMessage, socket: Duplex): void => {
      take(request).isComplete = true;
      socket.destroy();
    };
    server.on("connect", leave).on("upgrade", leave);
    server.on("clientError", (problem: NodeJS.ErrnoException, socket: Duplex) => {
      error ??= problem.code ?? problem.message;
      socket.destroy();
    });
    const connection = makeConnection(bytes);
    connection.on("close", () => resolve({ requests, error }));
    connection.on("error", () => undefined);
    server.emit("connection", connection);
  });
}

export interface ParsedResponse {
  readonly status: number;
  readonly body: string;
  readonly isComplete: boolean;
  readonly error: string | undefined;
}

/** The first final answer to a request of this method in these bytes, followed by the connection's end. */
export function parseResponse(bytes: Buffer, method: string): Promise<ParsedResponse> {
  return new Promise((resolve) => {
    let response: http.IncomingMessage | undefined;
    let body = "";
    let error: string | undefined;
    const connection = makeConnection(bytes);
    const request = http.request({ ...LIMITS, method, host: "a", path: "/", createConnection: () => connection });
    request.on("response", (message) => {
      response = message;
      message.setEncoding("latin1");
      message.on("data", (text: string) => (body += text));
      message.on("error", () => undefined);
    });
    request.on("error", (problem: NodeJS.ErrnoException) => (error ??= problem.code ?? problem.message));
    const finish = (): void =>
      resolve({ status: response?.statusCode ?? 0, body, isComplete: response?.complete ?? false, error });
    connection.on("error", () => undefined);
    connection.on("close", () => setImmediate(finish));
    request.end();
  });
}

/** A connection that says these bytes and ends, and hears nothing. */
function makeConnection(bytes: Buffer): Duplex {
  let isSaid = false;
  return new Duplex({
    read() {
      if (isSaid) return;
      isSaid = true;
      // Behind the listeners that are added in the turn in which it is made.
      setImmediate(() => {
        if (bytes.length > 0) this.push(bytes);
        this.push(null);
      });
    },
    write: (_chunk, _encoding, done) => done(),
    final: (done) => done(),
  });
}
