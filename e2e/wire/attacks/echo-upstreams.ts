// Real servers behind the sidecar that say which requests they understood: a strict parser of our own that keeps the raw bytes,
// Node's at its most lenient, and Go's.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";

import { listen, startTcpApp } from "../apps.ts";

export interface EchoUpstream {
  readonly name: string;
  readonly port: number;
  /** `METHOD target length-of-body` of each request that was understood to its end, in order. */
  readonly seen: string[];
  /** Every byte that came, where it is kept. */
  takeRaw(): string;
  stop(): unknown;
}

const CACHE = path.join(import.meta.dirname, "..", "..", "..", ".cache", "go-echo");

export async function startNodeEcho(): Promise<EchoUpstream> {
  const seen: string[] = [];
  const server = http.createServer({ insecureHTTPParser: true, keepAliveTimeout: 60_000 }, (request, response) => {
    let length = 0;
    request.on("data", (bytes: Buffer) => (length += bytes.length));
    request.on("end", () => {
      const line = `${request.method} ${request.url} ${length}`;
      seen.push(line);
      response.end(line);
    });
  });
  const app = await listen(server, () => server.closeAllConnections());
  return { name: "node:http", port: app.port, seen, takeRaw: () => "", stop: () => app.stop() };
}

/** Go's net/http, built once. Throws when there is no Go. */
export async function startGoEcho(): Promise<EchoUpstream> {
  const binary = path.join(CACHE, "echo");
  if (!fs.existsSync(binary)) buildGo(binary);
  const child = spawn(binary, { stdio: ["ignore", "pipe", "inherit"] });
  const seen: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the Go server ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("port ")) resolve(Number(line.slice(5)));
      else seen.push(line);
    });
  });
  return { name: "Go net/http", port, seen, takeRaw: () => "", stop: () => child.kill("SIGKILL") };
}

function buildGo(binary: string): void {
  fs.mkdirSync(CACHE, { recursive: true });
  const PATH = `${process.env["PATH"] ?? ""}:/usr/local/go/bin`;
  const source = path.join(import.meta.dirname, "echo.go");
  try {
    execFileSync("go", ["build", "-o", binary, source], {
      env: { ...process.env, PATH },
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot build ${source}: these tests need Go (https://go.dev): ${said}`, { cause });
  }
}

/**
 * Understands only what a client of RFC 9112 may write; anything else becomes an entry that begins with "BROKEN" and ends the
 * connection.
 */
export async function startStrictEcho(): Promise<EchoUpstream> {
  const seen: string[] = [];
  let raw = "";
  const app = await startTcpApp((socket) => {
    let rest = "";
    socket.on("end", () => socket.end());
    socket.on("data", (bytes: Buffer) => {
      raw += bytes.toString("latin1");
      rest += bytes.toString("latin1");
      rest = answerAll(socket, rest, seen);
    });
  });
  const takeRaw = (): string => {
    const taken = raw;
    raw = "";
    return taken;
  };
  return { name: "a strict parser", port: app.port, seen, takeRaw, stop: () => app.stop() };
}

const HEAD =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP\/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n/;

function answerAll(socket: net.Socket, text: string, seen: string[]): string {
  let rest = text;
  while (rest.includes("\r\n\r\n")) {
    const [head, method, target, fields = ""] = HEAD.exec(rest) ?? [];
    const length = head === undefined ? "BROKEN" : bodyLength(fields, rest.slice(head.length));
    if (length === undefined) return rest;
    if (head === undefined || typeof length === "string") {
      seen.push(`BROKEN ${JSON.stringify(rest.slice(0, 200))}`);
      socket.destroy();
      return "";
    }
    const line = `${method} ${target} ${length.body}`;
    seen.push(line);
    const body = method === "HEAD" ? "" : line;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\n\r\n${body}`);
    rest = rest.slice(head.length + length.text);
  }
  return rest;
}

/** Of the body, and of its text with framing; undefined = more is to come. */
function bodyLength(
  fields: string,
  rest: string,
): { readonly body: number; readonly text: number } | string | undefined {
  const lengths = [...fields.matchAll(/^content-length:(.*)\r$/gim)].map(([, value = ""]) => value.trim());
  const codings = [...fields.matchAll(/^transfer-encoding:(.*)\r$/gim)].map(([, value = ""]) => value.trim());
  const hosts = [...fields.matchAll(/^host:/gim)];
  if (hosts.length !== 1 || lengths.length + codings.length > 1) return "BROKEN";
  if (lengths.length === 1) {
    if (!/^\d{1,15}$/.test(lengths[0] ?? "")) return "BROKEN";
    const length = Number(lengths[0]);
    return rest.length < length ? undefined : { body: length, text: length };
  }
  if (codings.length === 0) return { body: 0, text: 0 };
  if (codings[0] !== "chunked") return "BROKEN";
  let body = 0;
  let position = 0;
  for (;;) {
    const end = rest.indexOf("\r\n", position);
    if (end < 0) return undefined;
    const size = rest.slice(position, end);
    if (!/^[0-9a-f]{1,12}$/i.test(size)) return "BROKEN";
    const length = Number.parseInt(size, 16);
    position = end + 2;
    if (length === 0) break;
    if (rest.length < position + length + 2) return undefined;
    body += length;
    position += length + 2;
    if (rest.slice(position - 2, position) !== "\r\n") return "BROKEN";
  }
  const trailers = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/.exec(
    rest.slice(position),
  )?.[0];
  return trailers === undefined ? undefined : { body, text: position + trailers.length };
}
