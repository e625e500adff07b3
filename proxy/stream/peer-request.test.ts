// What comes from a verified peer of the mesh: requests that were carried in HTTP/2, and tunnels for opaque bytes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const PEER: BenchOptions = { peerIdentity: "spiffe://mesh/ns/a/sa/b", connection: { protocol: "http2" } };
const UNUSED = makeStreamError("peer", "stream", H2_ERROR.NO_ERROR, "not needed");
const TUNNEL = { action: { upgrades: [{ name: "heddle-tcp", enabled: true }] } };

test("the application is asked in the HTTP that the client spoke, whatever carried it", () => {
  const carried = new ExchangeBench(PEER);
  carried.request("GET", "/", true, ["heddle-orig-proto", "1.1;t"]);
  assert.equal(carried.attempt.asked, "http1");
  const native = new ExchangeBench(PEER);
  native.request("GET", "/", true);
  assert.equal(native.attempt.asked, "http2");
  const liar = new ExchangeBench({ connection: { protocol: "http2" } });
  liar.request("GET", "/", true, ["heddle-orig-proto", "1.1;t"]);
  assert.equal(liar.attempt.asked, "http2");
});

test("a tunnel of opaque bytes is opened where the route is for them, and refused where it is for HTTP alone", () => {
  const opaque = new ExchangeBench({ ...PEER, ...TUNNEL });
  opaque.request("CONNECT", "/", false, [":protocol", "heddle-tcp"]);
  assert.equal(opaque.attempt.asked, "tunnel");
  const http = new ExchangeBench(PEER);
  http.request("CONNECT", "/", false, [":protocol", "heddle-tcp"]);
  assert.deepEqual([http.attempts.length, http.downstream.sent[0]], [0, "head 403"]);
});

test("a tunnel that ends without error and without a byte was not needed; one that was used, was", () => {
  const open = (): ExchangeBench => {
    const bench = new ExchangeBench({ ...PEER, ...TUNNEL });
    bench.request("CONNECT", "/", false, [":protocol", "heddle-tcp"]);
    return bench;
  };
  const [unused, used] = [open(), open()];
  used.data("hello", false);
  for (const { exchange } of [unused, used]) exchange.onReset(UNUSED);
  assert.deepEqual([unused.exchange.isUnused, unused.exchange.flags], [true, []]);
  assert.deepEqual([used.exchange.isUnused, used.exchange.flags], [false, ["DC"]]);
});
