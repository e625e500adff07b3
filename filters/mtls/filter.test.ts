import assert from "node:assert/strict";
import { test } from "node:test";

import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { mtlsFilter } from "./filter.ts";

function refusal(mode: string, options: HarnessOptions): string | undefined {
  const bench = new FilterBench();
  return bench
    .make(mtlsFilter, { mode, rule: "PeerAuthentication shop/strict" }, options)
    .onConnection?.(bench.exchange(options).connection);
}

test("STRICT refuses a peer without identity and names the rule", () => {
  assert.match(
    refusal("STRICT", {}) ?? "",
    /PeerAuthentication shop\/strict demands mutual TLS, and 127\.0\.0\.1:40000 came in plaintext/,
  );
});

test("STRICT lets a verified peer in", () => {
  assert.equal(refusal("STRICT", { peerIdentity: "spiffe://cluster.local/ns/shop/sa/web" }), undefined);
});

test("PERMISSIVE and DISABLE let both in", () => {
  assert.equal(refusal("PERMISSIVE", {}), undefined);
  assert.equal(refusal("DISABLE", {}), undefined);
});

test("an outbound connection comes from our own application and is not asked", () => {
  assert.equal(refusal("STRICT", { direction: "outbound" }), undefined);
});

test("an unknown mode is refused with the known ones", () => {
  assert.throws(
    () => mtlsFilter.parse({ mode: "strict" }),
    /mode must be STRICT or PERMISSIVE or DISABLE: got "strict"/,
  );
});
