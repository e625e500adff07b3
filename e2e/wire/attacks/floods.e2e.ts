// Floods of frames that carry nothing (CVE-2019-9511 and those after it, CVE-2024-27316) against a sidecar that serves normal clients.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import type { AttackReport } from "./attacker.ts";
import { cluster, httpListener } from "../proxy.ts";
import { floods } from "./floods.attack.ts";
import { Siege } from "./harness.ts";

const module = import.meta.resolve("./floods.attack.ts");
let siege: Siege;

before(async () => {
  siege = await Siege.start({
    config: (port, other) => ({
      listeners: [
        httpListener("in", "app"),
        httpListener("attacked", "other", "AUTO", undefined, {
          http2_protocol_options: { max_concurrent_streams: 100 },
        }),
      ],
      clusters: [cluster("app", port), cluster("other", other)],
    }),
  });
});
after(() => siege.stop());

/** Every connection was closed by the sidecar, and those that read were told why. */
function assertCutOff({ saw, connections }: AttackReport, kind: string): void {
  assert.equal(saw["STAYED OPEN"], undefined);
  assert.equal((saw["FIN"] ?? 0) + (saw["RST"] ?? 0) + (saw["CLOSED"] ?? 0), connections);
  if (!kind.includes("nobody reads"))
    assert.ok(
      (saw["GOAWAY ENHANCE_YOUR_CALM"] ?? 0) +
        (saw["GOAWAY PROTOCOL_ERROR"] ?? 0) +
        (saw["GOAWAY STREAM_CLOSED"] ?? 0) >
        0,
    );
}

for (const kind of floods) {
  it(`cuts off a flood of ${kind}`, (t) =>
    siege.run(t, {
      module,
      attack: "frames",
      listener: "attacked",
      ms: 600,
      args: { kind },
      maxExtraMib: 64,
      maxCpuShare: 0.6,
      maxCpuMicrosPerUnit: 50,
      check: (report) => assertCutOff(report, kind),
    }));
}
