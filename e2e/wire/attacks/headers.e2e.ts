// HPACK bombs and heads above every limit against a sidecar that serves normal clients.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { blocks, brokenBlocks } from "./headers.attack.ts";
import { Siege } from "./harness.ts";

const module = import.meta.resolve("./headers.attack.ts");
let siege: Siege;

before(async () => {
  siege = await Siege.start();
});
after(() => siege.stop());

// A unit is a whole head of up to 100 KB; decoding it costs what its length costs.
const bounds = { module, attack: "heads", ms: 700, maxExtraMib: 64, maxCpuShare: 0.9, maxCpuMicrosPerUnit: 4000 };

for (const kind of blocks) {
  it(`answers 431 to ${kind}, and then cuts off`, (t) =>
    siege.run(t, {
      ...bounds,
      args: { kind },
      check: ({ saw, connections }) => {
        assert.ok((saw["431"] ?? 0) >= 10);
        assert.equal(saw["200"], undefined);
        assert.equal(saw["GOAWAY ENHANCE_YOUR_CALM"], connections);
      },
    }));
}

for (const kind of brokenBlocks) {
  it(`cuts off at ${kind}`, (t) =>
    siege.run(t, {
      ...bounds,
      ms: 300,
      args: { kind },
      check: ({ saw, connections }) => assert.equal(saw["GOAWAY COMPRESSION_ERROR"], connections),
    }));
}
