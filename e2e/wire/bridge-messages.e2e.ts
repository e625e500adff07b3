// What must come through unchanged, and what must not come through, on every way a message can take.
import assert from "node:assert/strict";
import type http from "node:http";
import { it } from "node:test";

import { type Answer, type Bridge, type Call, type Handler, readAll, startBridges } from "./bridge.ts";

interface Scenario {
  readonly name: string;
  readonly call: Call;
  /** Default: answers 200 with the request's body. */
  readonly app?: Handler;
  /** What the application does with `Expect: 100-continue`. Default: 100, then `app`. */
  readonly expect?: Handler;
  /** Undefined = on all. */
  readonly on?: (bridge: Bridge) => boolean;
  readonly check: (answer: Answer, seen: http.IncomingMessage, bridge: Bridge) => void;
}

const LARGE = Buffer.alloc(5 * 1024 * 1024, "heddle large body ");
const isHttp1 = (bridge: Bridge): boolean => bridge.client === "http1";
const isHttp2 = (bridge: Bridge): boolean => bridge.client === "http2";

/** A gRPC message: flag, length, bytes. */
function message(flag: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(5, flag);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const echo: Handler = (request, response) => {
  response.setHeader("content-type", request.headers["content-type"] ?? "text/plain");
  request.pipe(response);
};

function names(raw: readonly string[]): string[] {
  return raw.filter((_name, i) => i % 2 === 0);
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "a body of five megabytes there and back, its length unknown",
    call: { method: "POST", body: [LARGE] },
    check: ({ body }) => assert.ok(body.equals(LARGE)),
  },
  {
    name: "a body with its length",
    call: { method: "PUT", headers: { "content-length": "5" }, body: [Buffer.from("hello")] },
    check({ body }, seen) {
      assert.equal(body.toString(), "hello");
      assert.equal(seen.headers["content-length"], "5");
      assert.equal(seen.headers["transfer-encoding"], undefined);
    },
  },
  {
    name: "trailers of the answer, to who accepts them",
    call: { headers: { te: "trailers" } },
    app(_request, response) {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "4" });
      response.end();
    },
    check({ body, trailers }, seen) {
      assert.equal(seen.headers["te"], "trailers");
      assert.equal(body.toString(), "body");
      assert.equal(trailers["x-sum"], "4");
    },
  },
  {
    name: "no trailers to an HTTP/1 client that does not accept them",
    on: isHttp1,
    call: {},
    app(_request, response) {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "4" });
      response.end();
    },
    check({ body, trailers }, seen) {
      assert.equal(seen.headers["te"], undefined);
      assert.equal(body.toString(), "body");
      assert.deepEqual({ ...trailers }, {});
    },
  },
  {
    name: "trailers of the request",
    call: { method: "POST", headers: { trailer: "x-sum" }, body: [Buffer.from("abc")], trailers: { "x-sum": "3" } },
    app: (request, response) => void readAll(request).then(() => response.end(String(request.trailers["x-sum"]))),
    check: ({ body }) => assert.equal(body.toString(), "3"),
  },
  {
    name: "several 103 before the answer",
    call: {},
    app(_request, response) {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.writeEarlyHints({ link: "</b.css>; rel=preload" });
      response.end("page");
    },
    check({ status, body, interim }) {
      assert.equal(status, 200);
      assert.equal(body.toString(), "page");
      assert.deepEqual(
        interim.map((one) => [one.status, one.headers["link"]]),
        [
          [103, "</a.css>; rel=preload"],
          [103, "</b.css>; rel=preload"],
        ],
      );
    },
  },
  {
    name: "Expect: 100-continue, whose body is sent when the application asks for it",
    call: { method: "POST", headers: { expect: "100-continue" }, body: [Buffer.from("late")] },
    check({ status, body, interim }, seen) {
      assert.equal(seen.headers.expect, "100-continue");
      assert.equal(status, 200);
      assert.deepEqual(
        interim.map((one) => one.status),
        [100],
      );
      assert.equal(body.toString(), "late");
    },
  },
  {
    name: "Expect: 100-continue that is answered at once",
    call: { method: "POST", headers: { expect: "100-continue", "content-length": "4" }, body: [Buffer.from("late")] },
    expect: (_request, response) => void response.writeHead(417).end("no"),
    check({ status, body, interim }) {
      assert.equal(status, 417);
      assert.equal(body.toString(), "no");
      assert.deepEqual(interim, []);
    },
  },
  {
    name: "HEAD keeps the length and has no body",
    call: { method: "HEAD" },
    app: (_request, response) => void response.writeHead(200, { "content-length": "12345" }).end(),
    check({ status, headers, body }) {
      assert.equal(status, 200);
      assert.equal(headers["content-length"], "12345");
      assert.equal(body.length, 0);
    },
  },
  {
    name: "204 has neither body nor length",
    call: {},
    app: (_request, response) => void response.writeHead(204, { "x-kept": "1" }).end(),
    check({ status, headers, body }) {
      assert.equal(status, 204);
      assert.equal(headers["content-length"], undefined);
      assert.equal(headers["transfer-encoding"], undefined);
      assert.equal(headers["x-kept"], "1");
      assert.equal(body.length, 0);
    },
  },
  {
    name: "304 keeps the length of what it does not send",
    call: { headers: { "if-none-match": '"a"' } },
    app: (_request, response) => void response.writeHead(304, { etag: '"a"', "content-length": "999" }).end(),
    check({ status, headers, body }) {
      assert.equal(status, 304);
      assert.equal(headers["etag"], '"a"');
      assert.equal(headers["content-length"], "999");
      assert.equal(body.length, 0);
    },
  },
  {
    name: "empty values, repeated fields, and octets above ASCII",
    call: { headers: { "x-empty": "", "x-many": ["a", "b", "c"], "x-high": "caf\u00e9" } },
    app(request, response) {
      const many = request.headers["x-many"] ?? "";
      response.writeHead(200, { "x-empty": "", "set-cookie": ["a=1", "b=2; Path=/", "c=3"], "x-high": "caf\u00e9" });
      response.end(`[${String(request.headers["x-empty"])}] ${String(many)} ${String(request.headers["x-high"])}`);
    },
    check({ headers, body }) {
      assert.equal(body.toString(), "[] a, b, c caf\u00e9");
      assert.equal(headers["x-empty"], "");
      assert.equal(headers["x-high"], "caf\u00e9");
      assert.deepEqual(headers["set-cookie"], ["a=1", "b=2; Path=/", "c=3"]);
    },
  },
  {
    name: "the crumbs of a cookie, which are one for the application",
    on: isHttp2,
    call: { headers: { cookie: ["a=1", "b=2", "c=3"] } },
    check(_answer, seen, bridge) {
      assert.equal(seen.headers.cookie, "a=1; b=2; c=3");
      if (bridge.app === "http1")
        assert.equal(names(seen.rawHeaders).filter((name) => /^cookie$/i.test(name)).length, 1);
    },
  },
  {
    name: "what belongs to the hop stays on it, and what Connection names",
    on: isHttp1,
    call: {
      headers: {
        connection: "keep-alive, x-hop, upgrade, http2-settings",
        "keep-alive": "timeout=5",
        "proxy-connection": "keep-alive",
        "x-hop": "1",
        "x-end": "1",
        upgrade: "h2c",
        "http2-settings": "AAMAAABkAAQAAP__",
      },
    },
    app(_request, response) {
      response.writeHead(200, { "x-end": "2" });
      response.end();
    },
    check({ status, headers }, seen) {
      assert.equal(status, 200);
      for (const name of ["x-hop", "proxy-connection", "keep-alive", "upgrade", "http2-settings"])
        assert.equal(seen.headers[name], undefined, name);
      assert.equal(seen.headers["x-end"], "1");
      assert.equal(headers["x-end"], "2");
    },
  },
  {
    name: "the letters of names, from HTTP/1 to HTTP/1",
    on: ({ client, app }) => client === "http1" && app === "http1",
    call: { headers: { "X-MiXeD": "1", "x-lower": "2", "X-Title-Case": "3", SHOUT: "4" } },
    app(_request, response) {
      response.writeHead(200, { "X-AnSwEr": "1", "x-small": "2", ETag: '"x"', "WWW-Thing": "3" });
      response.end();
    },
    check({ rawHeaders }, seen) {
      const sent = names(seen.rawHeaders);
      for (const name of ["X-MiXeD", "x-lower", "X-Title-Case", "SHOUT"]) assert.ok(sent.includes(name), name);
      const got = names(rawHeaders);
      for (const name of ["X-AnSwEr", "x-small", "ETag", "WWW-Thing"]) assert.ok(got.includes(name), name);
      for (const name of [...sent, ...got]) assert.doesNotMatch(name, /^heddle-/i);
    },
  },
  {
    name: "the host as it was asked for",
    call: { headers: { host: "shop.example:8080" } },
    check: (_answer, seen) => assert.equal(seen.headers.host ?? seen.headers[":authority"], "shop.example:8080"),
  },
  {
    name: "OPTIONS of the server itself",
    call: { method: "OPTIONS", path: "*" },
    check: ({ status }, seen) => {
      assert.equal(status, 200);
      assert.equal(seen.url, "*");
    },
  },
  {
    name: "a path and a query with all that may stand in them",
    call: { path: "/a%20b/../c;d=1//e?x=%00&y=[1]|{}&z='\"" },
    check: (_answer, seen) => assert.equal(seen.url, "/a%20b/../c;d=1//e?x=%00&y=[1]|{}&z='\""),
    on: isHttp2,
  },
  {
    name: "gRPC-Web untouched",
    call: {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: [message(0, Buffer.from("in"))],
    },
    app(request, response) {
      response.writeHead(200, { "content-type": "application/grpc-web+proto" });
      request.on("data", (bytes) => response.write(bytes));
      request.on("end", () => response.end(message(0x80, Buffer.from("grpc-status:0\r\n"))));
    },
    check({ headers, body }) {
      assert.equal(headers["content-type"], "application/grpc-web+proto");
      const wanted = Buffer.concat([message(0, Buffer.from("in")), message(0x80, Buffer.from("grpc-status:0\r\n"))]);
      assert.deepEqual(body, wanted);
    },
  },
  {
    name: "a gRPC message above four megabytes with its compression flag, deadline and trailers",
    on: isHttp2,
    call: {
      method: "POST",
      headers: {
        "content-type": "application/grpc",
        "grpc-timeout": "30S",
        "grpc-encoding": "gzip",
        te: "trailers",
      },
      body: [message(1, LARGE)],
    },
    app(request, response) {
      response.writeHead(200, { "content-type": "application/grpc", "grpc-encoding": "gzip", trailer: "grpc-status" });
      request.on("data", (bytes) => response.write(bytes));
      request.on("end", () => {
        response.addTrailers({ "grpc-status": "0", "grpc-message": "fine" });
        response.end();
      });
    },
    check({ headers, body, trailers }, seen) {
      assert.ok(body.equals(message(1, LARGE)));
      assert.equal(headers["grpc-encoding"], "gzip");
      assert.equal(seen.headers["grpc-encoding"], "gzip");
      assert.match(String(seen.headers["grpc-timeout"]), /^\d{1,8}[mSun]$/);
      assert.equal(trailers["grpc-status"], "0");
      assert.equal(trailers["grpc-message"], "fine");
    },
  },
  {
    name: "a gRPC answer of trailers alone",
    on: isHttp2,
    call: { method: "POST", headers: { "content-type": "application/grpc", te: "trailers" }, body: [] },
    app: (_request, response) =>
      void response.writeHead(200, { "content-type": "application/grpc", "grpc-status": "12" }).end(),
    check({ headers, body }) {
      assert.equal(headers["grpc-status"], "12");
      assert.equal(body.length, 0);
    },
  },
  {
    name: "an error page with its body and its reason's number",
    call: { path: "/missing" },
    app: (_request, response) => void response.writeHead(599, { "x-why": "none" }).end("gone"),
    check({ status, body, headers }) {
      assert.equal(status, 599);
      assert.equal(headers["x-why"], "none");
      assert.equal(body.toString(), "gone");
    },
  },
];

it("messages come through", async (t) => {
  const bridges = await startBridges(t);
  for (const scenario of SCENARIOS) {
    await t.test(scenario.name, async (t) => {
      for (const bridge of bridges.all) {
        if (scenario.on?.(bridge) === false) continue;
        await t.test(bridge.name, async () => {
          let seen: http.IncomingMessage | undefined;
          const app = scenario.app ?? echo;
          bridges.handle = (request, response) => {
            seen = request;
            app(request, response);
          };
          bridges.handleExpect =
            scenario.expect === undefined
              ? undefined
              : (request, response) => {
                  seen = request;
                  scenario.expect?.(request, response);
                };
          const answer = await bridge.call(scenario.call);
          assert.ok(
            seen !== undefined,
            `the application saw nothing; the answer: ${answer.status} ${answer.body.toString()}`,
          );
          scenario.check(answer, seen, bridge);
        });
      }
    });
  }
});
