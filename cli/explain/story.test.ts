import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inOrder, isFailure, parseExplainAnswer, type Hop } from "./records.ts";
import { tellCause, tellStory } from "./story.ts";

/** A record as a proxy's admin port gives it. */
const refused = {
  requestId: "r-1",
  time: "2026-01-02T03:04:05.678Z",
  direction: "outbound",
  listener: "outbound/shop/payments/8080@127.0.0.1:18041",
  method: "GET",
  authority: "payments",
  path: "/pay",
  status: 503,
  flags: ["UO"],
  code: "breaker_open",
  detail: "the circuit breaker of outbound/shop/payments/8080 is open",
  rule: "TrafficPolicy shop/payments",
  route: "HTTPRoute shop/payments pay",
  cluster: "outbound/shop/payments/8080",
  attempts: [{ endpoint: "127.0.0.1:18160", startMs: 0, durationMs: 3.25, outcome: "503" }],
  durationMs: 3.5,
  configVersion: "12-abcdef",
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  notes: { tenant: "acme" },
};

function hopsOf(node: string, ...records: readonly object[]): readonly Hop[] {
  return parseExplainAnswer({ node, records, findings: [] }).hops;
}

function failed(change: object): boolean {
  const [hop] = hopsOf("n", { ...refused, code: undefined, status: 200, ...change });
  return hop !== undefined && isFailure(hop);
}

describe("the story of a request", () => {
  it("says in its first sentence what was asked, the answer, who made it and why", () => {
    const [first] = tellStory(hopsOf("shop/orders-1", refused)).split("\n");
    assert.equal(
      first,
      "GET http://payments/pay was answered 503 by the outbound sidecar of shop/orders-1: the circuit breaker of outbound/shop/payments/8080 is open.",
    );
  });

  it("names rule, route, attempts, notes, version and trace", () => {
    const story = tellStory(hopsOf("shop/orders-1", refused));
    assert.match(story, /^Rule: TrafficPolicy shop\/payments\.$/m);
    assert.match(story, /^Routed by route HTTPRoute shop\/payments pay to cluster outbound\/shop\/payments\/8080/m);
    assert.match(story, /^Attempts: 1 to 127\.0\.0\.1:18160 at 0\.0 ms: 503, after 3\.3 ms\.$/m);
    assert.match(story, /^Noted: tenant acme\.$/m);
    assert.match(story, /^Code breaker_open, flags UO, configuration version 12-abcdef; .*trace 4bf92f/m);
  });

  it("says when nothing was sent upstream", () => {
    const story = tellStory(hopsOf("n", { ...refused, attempts: [], route: undefined, cluster: undefined }));
    assert.match(story, /no route was chosen/);
    assert.match(story, /Attempts: none, nothing was sent upstream/);
  });

  it("joins hops in the order in which the request met them, and blames the one that made the answer", () => {
    const relayed = { ...refused, code: undefined, detail: undefined, flags: [] };
    const inbound = {
      ...refused,
      direction: "inbound",
      code: "rate_limited",
      detail: "RateLimitPolicy shop/payments allows 1",
    };
    const story = tellStory([...hopsOf("shop/payments-1", inbound), ...hopsOf("shop/orders-1", relayed)]);
    assert.match(story, /^GET .* was answered 503 by the inbound sidecar of shop\/payments-1: RateLimitPolicy/);
    assert.ok(story.indexOf("Hop 1, the outbound sidecar of shop/orders-1") > 0);
    assert.ok(story.indexOf("Hop 2, the inbound sidecar of shop/payments-1") > story.indexOf("Hop 1"));
    assert.match(story, /GET .* was answered 503 by 127\.0\.0\.1:18160 through the outbound sidecar of shop\/orders-1/);
  });

  it("orders hops by time before anything else", () => {
    const later = { ...refused, time: "2026-01-02T03:04:05.778Z" };
    const hops = inOrder([...hopsOf("second", later), ...hopsOf("first", { ...refused, direction: "inbound" })]);
    assert.deepEqual(
      hops.map(({ node }) => node),
      ["first", "second"],
    );
  });

  it("gives gRPC's own status its name", () => {
    const [hop] = hopsOf("n", { ...refused, status: 200, grpcStatus: 14 });
    assert.ok(hop !== undefined);
    assert.match(tellCause(hop), /was answered 200 with grpc-status 14 \(UNAVAILABLE\)/);
  });

  it("says when the caller left first", () => {
    const [hop] = hopsOf("n", { ...refused, code: undefined, status: 0, flags: ["DC"] });
    assert.ok(hop !== undefined);
    assert.match(tellCause(hop), /got no answer from the outbound sidecar of n: the caller left before there was one/);
  });

  it("understands a record of which fields are missing", () => {
    const [hop] = hopsOf("n", {});
    assert.ok(hop !== undefined);
    assert.equal(typeof tellStory([hop]), "string");
  });

  it("counts answers of the mesh's own, 5xx and failed gRPC calls as failures, and nothing else", () => {
    assert.equal(failed({}), false);
    assert.equal(failed({ grpcStatus: 0 }), false);
    assert.equal(failed({ grpcStatus: 5 }), true);
    assert.equal(failed({ status: 500 }), true);
    assert.equal(failed({ status: 0 }), true);
    assert.equal(failed({ status: 403, code: "tenant_untrusted" }), true);
  });
});
