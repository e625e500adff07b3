import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renderStatus } from "./render.ts";
import { isHealthy, parseReport } from "./report.ts";

const NOW = 1_700_000_000_000;
const good = { type: "Accepted", status: "True", reason: "Accepted", message: "" };

function proxy(id: string, change: object = {}): object {
  const identity = `spiffe://cluster.local/ns/shop/sa/${id}`;
  return {
    id: `shop/${id}`,
    connected: true,
    sinceMs: NOW - 90_000,
    agent: "heddle 0.1.0",
    identity,
    applied: { version: "7-abc", atMs: NOW },
    rejections: [],
    ...change,
  };
}

/** As the control plane's /debug pages answer. */
function report(change: { proxies?: readonly object[]; config?: object; receipts?: object } = {}) {
  return parseReport(
    { proxies: change.proxies ?? [proxy("orders-1"), proxy("cart-1")] },
    { version: "7-abc", errors: [], warnings: [], files: [], objects: [], ...change.config },
    change.receipts ?? { applied: 2, total: 2 },
  );
}

describe("status", () => {
  it("shows every proxy, sorted, with what it has applied", () => {
    const text = renderStatus(report(), NOW, false);
    assert.match(text, /^Configuration version 7-abc, applied on 2 of 2 connected proxies\n/);
    assert.match(text, /^shop\/cart-1 +connected 90s +current +0 +spiffe:.*cart-1\nshop\/orders-1 +connected/m);
    assert.equal(isHealthy(report()), true);
  });

  it("shows what a proxy refused, and why", () => {
    const rejections = [{ kind: "cluster", name: "outbound/shop/web/80", reason: "no such policy" }];
    const one = report({ proxies: [proxy("orders-1", { rejections, applied: { version: "6-old" } })] });
    const text = renderStatus(one, NOW, false);
    assert.match(text, /^shop\/orders-1 +connected 90s +6-old +1 /m);
    assert.match(text, /shop\/orders-1 refused cluster outbound\/shop\/web\/80:\n {2}no such policy/);
    assert.equal(isHealthy(one), false);
  });

  it("tells a proxy that is gone from one that never applied anything", () => {
    const text = renderStatus(
      report({
        proxies: [
          proxy("a", { connected: false, sinceMs: NOW - 7_300_000 }),
          proxy("b", { applied: undefined, identity: undefined }),
        ],
      }),
      NOW,
      false,
    );
    assert.match(text, /^shop\/a +gone 2h /m);
    assert.match(text, /^shop\/b +connected 90s +nothing yet +0 +none \(plaintext\)$/m);
  });

  it("shows errors with their place and hint, and that the last good version stays", () => {
    const errors = [
      { at: "a.yaml:3:5", code: "HDL_CONFIG_UNKNOWN_FIELD", message: "no field x", hint: "did you mean y?" },
    ];
    const one = report({ config: { errors, files: [{ file: "a.yaml", isRefused: true }] } });
    const text = renderStatus(one, NOW, false);
    assert.match(text, /^ {2}a\.yaml:3:5: no field x \(did you mean y\?\) \[HDL_CONFIG_UNKNOWN_FIELD\]$/m);
    assert.match(text, /Not in force, the last good version stays: a\.yaml/);
    assert.equal(isHealthy(one), false);
  });

  it("lists documents whose conditions are not all True, and all of them when asked", () => {
    const bad = { type: "ResolvedRefs", status: "False", reason: "BackendNotFound", message: "there is no service x" };
    const objects = [
      { kind: "HTTPRoute", namespace: "shop", name: "web", at: "r.yaml:1:1", conditions: [good, bad], parents: [] },
      { kind: "MeshConfig", namespace: "", name: "default", at: "m.yaml:1:1", conditions: [good], parents: [] },
    ];
    const one = report({ config: { objects } });
    const short = renderStatus(one, NOW, false);
    assert.match(short, /Objects: 1 of 2 accepted/);
    assert.match(
      short,
      /HTTPRoute shop\/web \(r\.yaml:1:1\)\n {4}ResolvedRefs=False BackendNotFound: there is no service x\n/,
    );
    assert.doesNotMatch(short, /MeshConfig/);
    assert.match(renderStatus(one, NOW, true), /MeshConfig default \(m\.yaml:1:1\)\n {4}Accepted=True Accepted/);
    assert.equal(isHealthy(one), false);
  });

  it("is not healthy while a proxy lags behind", () => {
    assert.equal(isHealthy(report({ receipts: { applied: 1, total: 2 } })), false);
  });
});
