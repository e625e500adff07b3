// The platform's own reverse proxy for HTTP/1.1: node:http in front, undici behind, no filter, no log. node http1.ts PORT UPSTREAM
import http from "node:http";
import { Pool } from "undici";

const [port = "", upstream = ""] = process.argv.slice(2);
const pool = new Pool(`http://127.0.0.1:${upstream}`, { connections: 64, pipelining: 1 });
/** RFC 9110 §7.6.1. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"]);

http
  .createServer((request, response) => {
    const headers: Record<string, string | string[] | undefined> = {};
    for (const [name, value] of Object.entries(request.headers)) if (!HOP_BY_HOP.has(name)) headers[name] = value;
    const hasBody = request.method !== "GET" && request.method !== "HEAD";
    pool
      .request({ method: request.method ?? "GET", path: request.url ?? "/", headers, body: hasBody ? request : null })
      .then((answer) => {
        const { connection: _connection, "keep-alive": _keepAlive, ...kept } = answer.headers;
        response.writeHead(answer.statusCode, kept);
        answer.body.pipe(response);
      })
      .catch((error: unknown) => {
        response.writeHead(502).end(String(error));
      });
  })
  .listen(Number(port), "127.0.0.1");
