// HTTP/2 upstreams with a few streams a connection, so that there are many connections, that close those that lie idle.
// Time limit: 900 s.
import { it } from "node:test";

import { both, startNodeScene } from "./idle/node-scene.ts";
import { expectUnharmed, LIMIT, TIMES } from "./idle/unharmed.ts";

it("HTTP/2 upstreams that close after 1 s, with GOAWAY or without, fail nobody", LIMIT, async (t) => {
  const lanes = { lanes: 250, rounds: 2 * TIMES };
  const all = (["goaway", "fin"] as const).flatMap((kind) => both(lanes, { kind, maxStreams: 10 }));
  await expectUnharmed(t, () => startNodeScene(all));
});
