// HTTP/2 upstreams with a few streams a connection, so that there are many connections, that close those that lie idle.
// Time limit: 900 s.
import { it } from "node:test";

import { both, startNodeScene } from "./idle/node-scene.ts";
import { expectUnharmed, LIMIT, TIMES } from "./idle/unharmed.ts";

for (const [kind, how] of [
  ["goaway", "with GOAWAY"],
  ["fin", "without GOAWAY"],
] as const) {
  it(`HTTP/2 upstreams that close after 1 s ${how} fail nobody`, LIMIT, async (t) => {
    const lanes = { lanes: 500, rounds: 2 * TIMES };
    await expectUnharmed(t, () => startNodeScene(both(lanes, { kind, maxStreams: 10 })));
  });
}
