// Paths, hosts and fields as routes change them, and routes that answer by themselves.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { ForwardAction, HeaderMutations, RedirectAction, Route, RouteMatch } from "#config/model/route.ts";

import { ExchangeBench } from "./testing/bench.ts";

const MATCH: RouteMatch = {
  path: { kind: "prefix", value: "/" },
  caseSensitive: true,
  headers: [],
  query: [],
  grpcOnly: false,
  runtimeFraction: undefined,
};
const NONE: HeaderMutations = { set: [], add: [], addIfAbsent: [], remove: [] };

function pathOf(path: RouteMatch["path"], action: Partial<ForwardAction>, target: string): string | undefined {
  const bench = new ExchangeBench({ action, match: { ...MATCH, path } });
  bench.request("GET", target, true);
  return bench.attempt.stream.head?.get(":path");
}

describe("a rewritten path", () => {
  it("replaces a plain prefix as text", () => {
    assert.equal(pathOf({ kind: "prefix", value: "/api" }, { prefixRewrite: "/v1" }, "/api/x?q=/api"), "/v1/x?q=/api");
    assert.equal(pathOf({ kind: "prefix", value: "/api" }, { prefixRewrite: "/" }, "/api/x"), "//x");
  });

  it("replaces a prefix of whole segments as text too", () => {
    const path = { kind: "pathSeparatedPrefix", value: "/api" } as const;
    for (const [prefixRewrite, target, expected] of [
      ["/v1", "/api/x", "/v1/x"],
      ["/v1", "/api", "/v1"],
      ["/", "/api/x", "//x"],
      ["/", "/api", "/"],
      ["/v1", "/api?q", "/v1?q"],
    ] as const)
      assert.equal(pathOf(path, { prefixRewrite }, target), expected, `${prefixRewrite} ${target}`);
  });

  it("replaces the whole path where a regular expression matched it", () => {
    assert.equal(pathOf({ kind: "regex", value: "/a.*" }, { prefixRewrite: "/v1" }, "/api/x?q=1"), "/v1?q=1");
  });

  it("is a whole new path, or the pattern's, and keeps the query", () => {
    assert.equal(pathOf(MATCH.path, { pathRewrite: "/new" }, "/old?q=1"), "/new?q=1");
    const regexRewrite = { pattern: "^/item/([0-9]+)$", substitution: "/i?id=\\1" };
    assert.equal(pathOf(MATCH.path, { regexRewrite }, "/item/42"), "/i?id=42");
  });

  it("is told to the application", () => {
    const bench = new ExchangeBench({ action: { pathRewrite: "/new" }, http: { suppressEnvoyHeaders: false } });
    bench.request("GET", "/old?q=1", true);
    assert.equal(bench.attempt.stream.head?.get("x-envoy-original-path"), "/old?q=1");
  });
});

describe("header changes", () => {
  it("go from the most specific scope to the least, with operators", () => {
    const requestHeaders: HeaderMutations = {
      set: [
        { name: "x-set", value: "%REQ(:METHOD)% from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" },
        { name: "host", value: "other" },
      ],
      add: [{ name: "x-add", value: "2" }],
      addIfAbsent: [
        { name: "x-add", value: "3" },
        { name: "x-new", value: "100%%" },
      ],
      remove: ["x-gone"],
    };
    const responseHeaders: HeaderMutations = {
      ...NONE,
      set: [{ name: "x-code", value: "%RESPONSE_CODE% %RESP(x-app)%%RESP(x-none)%" }],
      add: [{ name: "x-none", value: "%RESP(x-none)%" }],
    };
    const bench = new ExchangeBench({ route: { requestHeaders, responseHeaders } });
    bench.request("GET", "/a", true, ["x-gone", "1"], ["x-add", "1"]);
    const { head } = bench.attempt.stream;
    assert.equal(head?.get("x-set"), "GET from 127.0.0.1");
    assert.equal(head?.get(":authority"), "other");
    assert.equal(head?.getJoined("x-add"), "1, 2");
    assert.equal(head?.get("x-new"), "100%");
    assert.equal(head?.has("x-gone"), false);
    bench.attempt.answer(200, "x", ["x-app", "a"]);
    assert.equal(bench.downstream.head?.get("x-code"), "200 a");
    assert.equal(bench.downstream.head?.has("x-none"), false);
  });

  it("are made on local replies too", () => {
    const responseHeaders: HeaderMutations = { ...NONE, add: [{ name: "x-mesh", value: "1" }] };
    const bench = new ExchangeBench({ route: { responseHeaders }, pickFailure: "cluster-empty" });
    bench.request("GET", "/a", true);
    assert.equal(bench.downstream.head?.get("x-mesh"), "1");
  });
});

describe("a redirect", () => {
  const REDIRECT: RedirectAction = {
    kind: "redirect",
    status: 301,
    scheme: undefined,
    host: undefined,
    port: undefined,
    path: undefined,
    stripQuery: false,
  };

  function location(
    action: Partial<RedirectAction>,
    authority: string,
    match: Partial<Route["match"]> = {},
  ): string | undefined {
    const route = { action: { ...REDIRECT, ...action }, match: { ...MATCH, ...match } };
    const bench = new ExchangeBench({ route, domains: ["*"] });
    bench.requestTo(authority, "/api/x?q=1");
    return bench.downstream.head?.get("location");
  }

  it("keeps what it does not name", () => {
    assert.equal(location({}, "shop:8080"), "http://shop:8080/api/x?q=1");
    assert.equal(location({ host: "other" }, "shop:8080"), "http://other/api/x?q=1");
    assert.equal(location({ stripQuery: true }, "[::1]:8080"), "http://[::1]:8080/api/x");
  });

  it("changes the scheme, and leaves out the port that is the scheme's own", () => {
    assert.equal(location({ scheme: "https" }, "shop"), "https://shop/api/x?q=1");
    assert.equal(location({ scheme: "https" }, "shop:80"), "https://shop/api/x?q=1");
    assert.equal(location({ scheme: "https" }, "shop:8080"), "https://shop:8080/api/x?q=1");
    assert.equal(location({ scheme: "https", port: 443 }, "shop:8080"), "https://shop/api/x?q=1");
    assert.equal(location({ port: 8443 }, "shop"), "http://shop:8443/api/x?q=1");
  });

  it("replaces the path or the prefix that matched", () => {
    const path = { kind: "pathSeparatedPrefix", value: "/api" } as const;
    assert.equal(location({ path: { kind: "full", value: "/new" } }, "shop"), "http://shop/new?q=1");
    assert.equal(location({ path: { kind: "full", value: "/new?own" } }, "shop"), "http://shop/new?own");
    assert.equal(location({ path: { kind: "prefix", value: "/v2" } }, "shop", { path }), "http://shop/v2/x?q=1");
    const prefix = { kind: "prefix", value: "/ap" } as const;
    assert.equal(location({ path: { kind: "prefix", value: "/v" } }, "shop", { path: prefix }), "http://shop/vi/x?q=1");
    const regex = { kind: "regex", value: "/a.*" } as const;
    assert.equal(location({ path: { kind: "prefix", value: "/v2" } }, "shop", { path: regex }), "http://shop/v2?q=1");
  });

  it("rewrites the path by a pattern", () => {
    const path = { kind: "regex", pattern: "^/api/(.*)$", substitution: "/\\1/old" } as const;
    assert.equal(location({ path }, "shop"), "http://shop/x/old?q=1");
    assert.equal(location({ path, stripQuery: true }, "shop"), "http://shop/x/old");
  });
});

describe("a direct answer", () => {
  it("has its body, but not for HEAD, and no upstream is asked", () => {
    for (const method of ["GET", "HEAD"]) {
      const bench = new ExchangeBench({ route: { action: { kind: "direct", status: 418, body: "tea" } } });
      bench.request(method, "/a", true);
      assert.deepEqual(bench.downstream.sent, method === "GET" ? ["head 418", "data tea end"] : ["head 418 end"]);
      assert.equal(bench.downstream.head?.get("content-length"), "3");
      assert.deepEqual([bench.done[0]?.flags, bench.attempts.length], [[], 0]);
    }
  });
});

describe("a direct answer to gRPC", () => {
  it("is a status of gRPC with the body as its message", () => {
    const bench = new ExchangeBench({ route: { action: { kind: "direct", status: 403, body: "not for you" } } });
    bench.request("POST", "/s/M", true, ["content-type", "application/grpc"]);
    const { head } = bench.downstream;
    const fields = [":status", "grpc-status", "grpc-message", "content-type"].map((name) => head?.get(name));
    assert.deepEqual(fields, ["200", "7", "not for you", "application/grpc"]);
  });
});

describe("an upgrade", () => {
  it("is allowed by the route over the listener, whatever its letters", () => {
    for (const [listener, route, status] of [
      [[], [{ name: "WebSocket", enabled: true }], undefined],
      [["websocket"], [{ name: "websocket", enabled: false }], "head 403"],
      [["WEBSOCKET"], [], undefined],
    ] as const) {
      const bench = new ExchangeBench({ http: { upgrades: listener }, action: { upgrades: route } });
      bench.request("GET", "/ws", false, ["connection", "upgrade"], ["upgrade", "websocket"]);
      assert.equal(bench.downstream.sent[0], status);
    }
  });
});
