// A hostile server behind the sidecar: whoever asks it gets 502 or 503 with the reason, and everybody else is served.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { cluster, httpListener } from "../proxy.ts";
import { Siege } from "./harness.ts";
import { HOSTILITIES } from "./hostilities.ts";

const module = import.meta.resolve("./upstream.attack.ts");
const names = Object.keys(HOSTILITIES);
let siege: Siege;

before(async () => {
  siege = await Siege.start({
    other: "hostile-upstream.ts",
    config: (port, _other, ports) => ({
      listeners: [httpListener("in", "app"), ...names.map((_name, i) => httpListener(`to-${i}`, `hostile-${i}`))],
      clusters: [cluster("app", port), ...names.map((name, i) => cluster(`hostile-${i}`, ports[name] ?? 0, "http2"))],
    }),
  });
});
after(() => siege.stop());

/** What HTTP/2 allows a server to do; everything else breaks the protocol, which is 502. */
const ALLOWED: ReadonlySet<string> = new Set(["a reset of each stream", "resets without end", "GOAWAY without end"]);

for (const [i, name] of names.entries()) {
  const status = ALLOWED.has(name) ? "503" : "502";
  it(`answers ${status} with the reason when the server sends ${name}`, (t) =>
    siege.run(t, {
      module,
      attack: "ask",
      listener: `to-${i}`,
      ms: 500,
      maxExtraMib: 64,
      maxCpuShare: 0.9,
      check: ({ saw, units }) => {
        assert.ok(units > 0);
        assert.ok(Object.keys(saw).some((what) => what.startsWith(status)));
        // A request that meets a connection just cut off is a lost connection's.
        for (const what of Object.keys(saw)) assert.match(what, /^502 http_protocol_error|^503 connection_/);
      },
    }));
}
