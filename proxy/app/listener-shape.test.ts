// Which changes of a listener its connections outlive.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Listener } from "#config/model/listener.ts";
import { connectionShape } from "./listener-shape.ts";

const unbound: Listener = {
  name: "direct/shop/db/5432",
  address: { address: "10.244.0.1", port: 5432 },
  additionalAddresses: [{ address: "10.244.0.2", port: 5432 }],
  direction: "outbound",
  bindToPort: false,
  useOriginalDst: false,
  inspectTls: false,
  inspectHttp: false,
  inspectTimeoutMs: 0,
  continueOnInspectTimeout: true,
  filterChains: [],
  defaultFilterChain: undefined,
  perConnectionBufferLimitBytes: 65_536,
};

test("connections to one instance outlive the coming and going of others", () => {
  const fewer: Listener = { ...unbound, address: { address: "10.244.0.2", port: 5432 }, additionalAddresses: [] };
  assert.equal(connectionShape(unbound), connectionShape(fewer));
});

test("connections of a socket end when it moves", () => {
  const bound: Listener = { ...unbound, bindToPort: true };
  const moved: Listener = { ...bound, address: { address: "10.244.0.9", port: 5432 } };
  assert.notEqual(connectionShape(bound), connectionShape(moved));
});
