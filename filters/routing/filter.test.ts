import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { ANSWERED, CONTINUE, type Pick } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { routingFilter } from "./filter.ts";
import { compileIdentity } from "./identity-pattern.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const CONFIG = {
  labelKey: "tenant",
  sources: [{ header: { name: "X-Tenant", trustedIdentities: [WEB], trustsLocal: false } }],
  rule: "MeshConfig",
};
const SPLIT = { metadata: { "heddle.tenants": { labelKey: "tenant" } } };

function run(options: HarnessOptions, config: object = {}) {
  const bench = new FilterBench();
  const all = { cluster: SPLIT, ...options };
  const filter = bench.make(routingFilter, { ...CONFIG, ...config }, all);
  const exchange = bench.exchange(all);
  const headVerdict = filter.onRequestHead?.(exchange, exchange.request, true);
  assert.ok(exchange.cluster);
  const pick: Pick = { cluster: exchange.cluster, labels: { version: "v1" }, hash: undefined, avoid: [] };
  const pickVerdict = headVerdict === CONTINUE ? filter.onPick?.(exchange, pick) : undefined;
  return { exchange, headVerdict, pickVerdict, labels: pick.labels };
}

test("a trusted identity's tenant narrows the endpoints, beside the version", () => {
  const { labels, exchange } = run({ peerIdentity: WEB, headers: [["x-tenant", "acme"]] });
  assert.deepEqual(labels, { version: "v1", tenant: "acme" });
  assert.equal(exchange.notes.get("tenant"), "acme");
});

test("a forged tenant header is refused with 403", () => {
  const { headVerdict, exchange } = run({
    peerIdentity: "spiffe://cluster.local/ns/shop/sa/other",
    headers: [["x-tenant", "acme"]],
  });
  assert.equal(headVerdict, ANSWERED);
  assert.equal(exchange.reply?.status, 403);
  assert.match(exchange.reply?.detail ?? "", /sa\/other may not name a tenant in x-tenant/);
});

test("an untrusted header is stripped where the source says strip", () => {
  const sources = [{ header: { name: "x-tenant", trustedIdentities: [WEB], onUntrusted: "strip" } }];
  const { headVerdict, exchange, labels } = run({ headers: [["x-tenant", "acme"]] }, { sources });
  assert.equal(headVerdict, CONTINUE);
  assert.equal(exchange.request.has("x-tenant"), false);
  assert.equal(labels["tenant"], "");
});

test("a request of no tenant gets only endpoints of no tenant, or 403 under deny", () => {
  assert.equal(run({}).labels["tenant"], "");
  const denied = run({}, { withoutTenant: "deny" });
  assert.equal(denied.pickVerdict, ANSWERED);
  assert.equal(denied.exchange.reply?.status, 403);
});

test("a service that is not divided by tenants serves everybody", () => {
  const { labels } = run({ peerIdentity: WEB, headers: [["x-tenant", "acme"]], cluster: {} });
  assert.deepEqual(labels, { version: "v1" });
});

test("the peer's identity can name the tenant", () => {
  const sources = [{ peerIdentity: { pattern: "spiffe://*/ns/*/sa/*-{tenant}" } }];
  const { labels } = run({ peerIdentity: "spiffe://cluster.local/ns/shop/sa/orders-globex" }, { sources });
  assert.equal(labels["tenant"], "globex");
});

test("the application beside us is believed where the source says so, and nobody else without an identity", () => {
  const sources = [{ header: { name: "x-tenant", trustedIdentities: [WEB], trustsLocal: true } }];
  const headers = [["x-tenant", "acme"]] as const;
  assert.equal(run({ headers }, { sources }).labels["tenant"], "acme");
  assert.equal(
    run({ headers, remoteAddress: "10.1.2.3", direction: "outbound" }, { sources }).labels["tenant"],
    "acme",
  );
  const stranger = run({ headers, remoteAddress: "10.1.2.3" }, { sources });
  assert.equal(stranger.headVerdict, ANSWERED);
  assert.equal(stranger.exchange.reply?.code, "tenant_untrusted");
});

test("a forged header does not pass on behind a source that named the tenant already", () => {
  const peer = { peerIdentity: { pattern: "spiffe://*/ns/*/sa/*-{tenant}" } };
  const header = { name: "x-tenant", trustedIdentities: [WEB] };
  const options = {
    peerIdentity: "spiffe://cluster.local/ns/shop/sa/orders-globex",
    headers: [["x-tenant", "acme"]],
  } as const;
  const stripped = run(options, { sources: [peer, { header: { ...header, onUntrusted: "strip" } }] });
  assert.equal(stripped.labels["tenant"], "globex");
  assert.equal(stripped.exchange.request.has("x-tenant"), false);
  assert.equal(run(options, { sources: [peer, { header }] }).headVerdict, ANSWERED);
});

test("a pattern matches its own text and nothing that differs in a segment's end", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme-ascii" }),
      fc.string({ minLength: 1, unit: "grapheme-ascii" }),
      (text, more) => {
        const literal = text.replaceAll(/[*{}]/g, "");
        assert.ok(compileIdentity(literal).test(literal));
        assert.equal(compileIdentity(literal).test(literal + more), false);
      },
    ),
  );
});
