import assert from "node:assert/strict";
import { test } from "node:test";

import type { JsonValue } from "#config/model/filter-config.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { ANSWERED, CONTINUE } from "../filter.ts";
import { FilterBench } from "../testing/harness.ts";
import { CORS_POLICY, inheritCors, parseCors, type CorsPolicy } from "./config.ts";
import { corsFilter } from "./filter.ts";

const POLICY = {
  allowOriginStringMatch: [{ exact: "https://a.example" }, { safeRegex: { regex: "https://.*\\.b\\.example" } }],
  allowMethods: "GET, PUT",
  allowHeaders: "x-one",
  exposeHeaders: "x-two",
  maxAge: "60",
  allowCredentials: true,
};

const QUESTION = { ":method": "OPTIONS", origin: "https://a.example", "access-control-request-method": "PUT" };

function ask(policy: JsonValue, headers: Readonly<Record<string, string>>) {
  const bench = new FilterBench();
  const override = { isDisabled: false, config: parseCors(policy, CORS_POLICY) };
  const filter = bench.make(corsFilter, {});
  const exchange = bench.exchange({ override, headers: Object.entries(headers) });
  const verdict = filter.onRouted?.(exchange, exchange.request);
  const head = HeaderBlock.of([":status", "200"]);
  filter.onResponseHead?.(exchange, head, true);
  const valid = bench.counters.get("heddle_cors_requests_total") ?? 0;
  return { verdict, reply: exchange.reply, headers: new Map(exchange.reply?.headers), head, counted: valid };
}

test("a preflight of an allowed origin is answered with what may be done", () => {
  const { verdict, reply, headers } = ask(POLICY, QUESTION);
  assert.equal(verdict, ANSWERED);
  assert.deepEqual([reply?.status, reply?.isPlain, reply?.flag], [200, true, undefined]);
  assert.deepEqual(Object.fromEntries(headers), {
    "access-control-allow-origin": "https://a.example",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "x-one",
    "access-control-max-age": "60",
  });
});

test("a preflight of another origin goes on to the upstream, unless the policy keeps it", () => {
  const other = { ...QUESTION, origin: "https://c.example" };
  assert.equal(ask(POLICY, other).verdict, CONTINUE);
  const kept = ask({ ...POLICY, forwardNotMatchingPreflights: false }, other);
  assert.equal(kept.verdict, ANSWERED);
  assert.equal(kept.headers.has("access-control-allow-origin"), false);
});

test("a star repeats what was asked for, and no header where nothing was", () => {
  const policy = { allowOriginStringMatch: [{ prefix: "*" }], allowMethods: "*", allowHeaders: "*" };
  const { headers } = ask(policy, { ...QUESTION, origin: "https://any.example" });
  assert.deepEqual([...headers.keys()], ["access-control-allow-origin", "access-control-allow-methods"]);
  assert.equal(headers.get("access-control-allow-methods"), "PUT");
  const asked = ask(policy, { ...QUESTION, "access-control-request-headers": "x-a, x-b" });
  assert.equal(asked.headers.get("access-control-allow-headers"), "x-a, x-b");
});

test("the answer to a call is marked for its origin alone", () => {
  const { verdict, head } = ask(POLICY, { origin: "https://x.b.example" });
  assert.equal(verdict, CONTINUE);
  assert.equal(head.get("access-control-allow-origin"), "https://x.b.example");
  assert.equal(head.get("access-control-allow-credentials"), "true");
  assert.equal(head.get("access-control-expose-headers"), "x-two");
  assert.equal(ask(POLICY, { origin: "https://c.example" }).head.length, 1);
  assert.equal(ask(POLICY, {}).head.length, 1);
});

test("an OPTIONS that names no method is a call like any other", () => {
  const { verdict, head } = ask(POLICY, { ":method": "OPTIONS", origin: "https://a.example" });
  assert.equal(verdict, CONTINUE);
  assert.ok(head.has("access-control-allow-origin"));
});

test("a private network is told only to who asks for one", () => {
  const policy = { ...POLICY, allowPrivateNetworkAccess: true };
  const name = "access-control-allow-private-network";
  assert.equal(ask(policy, QUESTION).headers.has(name), false);
  const asked = ask(policy, { ...QUESTION, "access-control-request-private-network": "true" });
  assert.equal(asked.headers.get(name), "true");
});

test("a filter that is off for all requests does nothing, and in the shadow it only counts", () => {
  const off = { ...POLICY, filterEnabled: { defaultValue: { numerator: 0 } } };
  const silent = ask(off, QUESTION);
  assert.deepEqual([silent.verdict, silent.counted, silent.head.length], [CONTINUE, 0, 1]);
  const shadow = ask({ ...off, shadowEnabled: { defaultValue: { numerator: 100 } } }, QUESTION);
  assert.deepEqual([shadow.verdict, shadow.counted, shadow.head.length], [CONTINUE, 1, 1]);
});

test("what the route leaves open is the virtual host's", () => {
  const parse = (config: JsonValue) => ({ isDisabled: false, config: parseCors(config, CORS_POLICY) });
  const both = inheritCors(parse({ allowMethods: "GET", allowCredentials: false }), parse(POLICY)).config as CorsPolicy; // as: made by it
  assert.deepEqual([both.methods, both.credentials, both.headers, both.origins.length], ["GET", false, "x-one", 2]);
});

test("what is wrong is refused by its path", () => {
  const refuses = (config: JsonValue, what: RegExp): void => assert.throws(() => parseCors(config, CORS_POLICY), what);
  refuses({ allowOriginStringMatch: [{ safeRegex: { regex: "(" } }] }, /allowOriginStringMatch\[0\]\.safeRegex\.regex/);
  refuses({ allowOriginStringMatch: [{}] }, /allowOriginStringMatch\[0\]\.exact/);
  refuses({ allowMethods: 1 }, /allowMethods/);
});
