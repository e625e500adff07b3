// Rapid reset (CVE-2023-44487) and "made you reset" (CVE-2025-8671) against a sidecar that serves normal clients.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { cluster, httpListener } from "../proxy.ts";
import type { AttackReport } from "./attacker.ts";
import { Siege } from "./harness.ts";
import { provocations } from "./resets.attack.ts";

const module = import.meta.resolve("./resets.attack.ts");
let siege: Siege;

before(async () => {
  siege = await Siege.start({
    config: (port, other) => ({
      listeners: [httpListener("in", "app"), httpListener("attacked", "other")],
      clusters: [cluster("app", port), cluster("other", other)],
    }),
  });
});
after(() => siege.stop());

/** Each connection that the attacker opened was ended with GOAWAY. */
function assertCalmed({ saw, connections }: AttackReport): void {
  assert.ok(connections > 0);
  assert.equal(saw["GOAWAY ENHANCE_YOUR_CALM"], connections);
  assert.equal(saw["STAYED OPEN"], undefined);
}

const bounds = { listener: "attacked", maxExtraMib: 64, maxCpuShare: 0.6, maxCpuMicrosPerUnit: 100 };

it("cuts off a peer that cancels each request at once", (t) =>
  siege.run(t, { module, attack: "rapidReset", ...bounds, check: assertCalmed }));

it("cuts off a peer that cancels its requests in batches", (t) =>
  siege.run(t, { module, attack: "batchedReset", ...bounds, check: assertCalmed }));

it("serves a peer that cancels answers that have begun, at what a request costs, and keeps none of them", (t) =>
  siege.run(t, {
    module,
    attack: "resetAfterHead",
    listener: "attacked",
    maxExtraMib: 64,
    maxCpuShare: 1,
    maxCpuMicrosPerUnit: 400,
    check: ({ saw }) => assert.ok((saw["200"] ?? 0) > 100),
  }));

for (const how of provocations) {
  it(`cuts off a peer that makes it reset streams by ${how}`, (t) =>
    siege.run(t, { module, attack: "madeYouReset", ms: 700, args: { how }, ...bounds, check: assertCalmed }));
}
