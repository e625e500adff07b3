import assert from "node:assert/strict";
import { test } from "node:test";

import type { Endpoint } from "#config/model/endpoint.ts";
import type { JsonValue } from "#config/model/filter-config.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { backendKey, endpointKey } from "#lib/session-key.ts";

import type { Pick } from "../filter.ts";
import { answered, FilterBench } from "../testing/harness.ts";
import { ENVOY_SESSION, HEDDLE_SESSION, parseSession } from "./config.ts";
import { statefulSessionFilter } from "./filter.ts";

const COOKIE = "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
const HEADER = "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";
const BACKEND = backendKey("backend", {});

function cookie(more: object, strict = false): JsonValue {
  const typedConfig = { "@type": COOKIE, cookie: { name: "s", path: "/a", ...more } };
  return { strict, sessionState: { name: "any", typedConfig } };
}

const header: JsonValue = { sessionState: { name: "any", typedConfig: { "@type": HEADER, name: "X-Session" } } };

function makeBench(config: JsonValue, typeUrl = ENVOY_SESSION) {
  const bench = new FilterBench();
  const filter = statefulSessionFilter.make(parseSession(config, typeUrl), bench.context());
  return {
    bench,
    /** What is asked of the balancer, and what the answer of 10.0.0.x tells the client. */
    ask: (headers: Readonly<Record<string, string>>, from: number, backend = BACKEND) => {
      const exchange = bench.exchange({
        headers: Object.entries({ ":path": "/a/b", ...headers }),
        cluster: {},
        backend,
      });
      filter.onRouted?.(exchange, exchange.request);
      const pick: Pick = { cluster: exchange.cluster ?? assert.fail(), labels: {}, hash: undefined, avoid: [] };
      filter.onPick?.(exchange, pick);
      exchange.attempt(answered(200)).endpoint = { address: `10.0.0.${from}`, port: 80 } as Endpoint; // as: what the filter reads
      const again: Pick = { ...pick, endpoint: undefined };
      filter.onPick?.(exchange, again);
      assert.equal(again.endpoint, undefined, "a retry goes wherever the balancer says");
      const head = HeaderBlock.of([":status", "200"]);
      filter.onResponseHead?.(exchange, head, true);
      return { pick, head, cookie: head.get("set-cookie")?.split(";")[0] ?? "" };
    },
  };
}

test("the first answer begins a session, and the cookie that comes back names its endpoint", () => {
  const { ask } = makeBench(cookie({ ttl: "60s" }, true));
  const first = ask({}, 1);
  assert.equal(first.pick.endpoint, undefined);
  assert.match(first.head.get("set-cookie") ?? "", /^s="[\w-]{27}\.\w+"; Max-Age=60; Path=\/a; HttpOnly$/);
  const second = ask({ cookie: `x=1; ${first.cookie}` }, 1);
  assert.equal(second.pick.endpoint, endpointKey("backend", "10.0.0.1:80"));
  assert.equal(second.pick.isStrict, true);
  assert.equal(second.head.has("set-cookie"), false);
});

test("where the route has one backend alone the endpoint is held all the same", () => {
  const { ask } = makeBench(cookie({}));
  const first = ask({}, 1, "");
  assert.match(first.cookie, /^s="[\w-]{16}"$/);
  const second = ask({ cookie: first.cookie }, 1, "");
  assert.equal(second.pick.endpoint, endpointKey("backend", "10.0.0.1:80"));
  assert.equal(second.head.has("set-cookie"), false);
});

test("a session that another endpoint answered moves there", () => {
  const { ask, bench } = makeBench(cookie({}));
  const first = ask({}, 1);
  const moved = ask({ cookie: first.cookie }, 2);
  assert.notEqual(moved.cookie, first.cookie);
  assert.equal(ask({ cookie: moved.cookie }, 2).pick.endpoint, endpointKey("backend", "10.0.0.2:80"));
  assert.equal(bench.counters.get("heddle_sessions_total"), 3);
});

test("neither the address nor the service can be read in the value", () => {
  const { ask } = makeBench(cookie({}));
  const value = ask({}, 1).cookie.slice(3, -1);
  const bytes = Buffer.from(value, "base64url").toString("latin1");
  for (const text of [value, bytes]) for (const part of ["10.0", "80", "backend"]) assert.ok(!text.includes(part));
});

test("values that nobody here made are none", () => {
  const { ask } = makeBench(cookie({}));
  for (const value of ["", "10.0.0.1:80", Buffer.from("10.0.0.9:22").toString("base64"), "x".repeat(5000)])
    assert.equal(ask({ cookie: `s="${value}"` }, 1).pick.endpoint, undefined, value.slice(0, 20));
});

test("a session ends when its time is over, and nobody makes it longer", () => {
  const { ask, bench } = makeBench(cookie({ ttl: "60s" }));
  const { cookie: given } = ask({}, 1);
  bench.clock.advance(59_000);
  assert.ok(ask({ cookie: given }, 1).pick.endpoint);
  bench.clock.advance(2000);
  assert.equal(ask({ cookie: given }, 1).pick.endpoint, undefined);
  const forged = given.replace(/\.\w+/, ".zzzzzzzz");
  assert.equal(ask({ cookie: forged }, 1).pick.endpoint, undefined);
  assert.equal(ask({ cookie: given.replace(/\.\w+/, "") }, 1).pick.endpoint, undefined);
});

test("paths that the cookie is not for have no session", () => {
  const { ask } = makeBench(cookie({}));
  for (const path of ["/", "/ab", "/b"]) assert.equal(ask({ ":path": path }, 1).head.has("set-cookie"), false, path);
  for (const path of ["/a", "/a/", "/a?b", "/a/b"]) assert.ok(ask({ ":path": path }, 1).head.has("set-cookie"), path);
});

test("a header carries the session as a cookie does, and our own message lets it end", () => {
  const plain = makeBench(header);
  const value = plain.ask({}, 1).head.get("x-session") ?? "";
  assert.equal(plain.ask({ "x-session": value }, 1).pick.endpoint, endpointKey("backend", "10.0.0.1:80"));
  const ending = makeBench({ header: "x-session", absoluteTimeout: "60s" }, HEDDLE_SESSION);
  assert.match(ending.ask({}, 1).head.get("x-session") ?? "", /\.\w+$/);
  const session = makeBench({ cookie: { name: "s", path: "/" }, absoluteTimeout: "60s" }, HEDDLE_SESSION);
  assert.match(session.ask({}, 1).head.get("set-cookie") ?? "", /^s="[\w-]{27}\.\w+"; Path=\/; HttpOnly$/);
});

test("an answer of the mesh's own begins no session", () => {
  const bench = new FilterBench();
  const filter = statefulSessionFilter.make(parseSession(header, ENVOY_SESSION), bench.context());
  const exchange = bench.exchange();
  filter.onRouted?.(exchange, exchange.request);
  const head = HeaderBlock.of([":status", "503"]);
  filter.onResponseHead?.(exchange, head, true);
  assert.equal(head.has("x-session"), false);
});

test("what is wrong is refused by its path", () => {
  const state = (typedConfig: JsonValue): JsonValue => ({ sessionState: { name: "a", typedConfig } });
  const refuses = (config: JsonValue, what: RegExp): void =>
    assert.throws(() => parseSession(config, ENVOY_SESSION), what);
  refuses(state({ "@type": "type.googleapis.com/x" }), /sessionState\.typedConfig\.@type/);
  refuses(state({ "@type": COOKIE, cookie: { name: "" } }), /cookie\.name/);
  refuses(state({ "@type": HEADER, name: 1 }), /typedConfig\.name/);
});
