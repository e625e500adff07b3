// Requests sent within 2 ms of the moment when the upstream closes its connections: nobody sees a failure.
// `HEDDLE_IDLE_FULL=1 npm run e2e -- wire idle-close` runs it in full: 60,000 requests at 1 s, 10,000 at 5 s, 30,000 after N requests
// with and without a word, on 1,000 connections; else it is a tenth.
// Time limit: 900 s.
import { describe, it } from "node:test";

import { both, startNodeScene, toCase } from "./idle/node-scene.ts";
import { expectUnharmed, LIMIT, TIMES } from "./idle/unharmed.ts";
import { Upstreams } from "./idle/upstream.ts";
import { startMeshPair } from "./mesh-pair.ts";

/** A sidecar's own idle time for its clients. */
const OWN = { common_http_protocol_options: { idle_timeout: "1s" } };

it("upstreams that close after 1 s fail nobody", LIMIT, async (t) => {
  // Many, since most happens while one is new.
  const lanes = { lanes: 84, rounds: 6 * TIMES };
  const all = [0, 50, 0, 50, 0, 50].flatMap((jitterMs) => both(lanes, { jitterMs }));
  await expectUnharmed(t, () => startNodeScene(all));
});

for (const kind of ["counting", "announcing"] as const) {
  it(`upstreams that close after ten requests, ${kind}, fail nobody`, LIMIT, async (t) => {
    const all = both({ lanes: 50 * TIMES, rounds: 29 }, { kind, maxRequests: 10 });
    await expectUnharmed(t, () => startNodeScene(all));
  });
}

// Both at once: most of the time is spent waiting.
describe("long and own idle times", { concurrency: 2 }, () => {
  it("upstreams that close after 5 s fail nobody", LIMIT, async (t) => {
    const all = [0, 50].flatMap((jitterMs) => both({ lanes: 250, rounds: TIMES }, { idleMs: 5000, jitterMs }));
    await expectUnharmed(t, () => startNodeScene(all));
  });

  it("a sidecar that closes idle clients after 1 s fails nobody", LIMIT, async (t) => {
    // It serves a last request for another second.
    const lanes = { lanes: 100, rounds: 2 * TIMES, waitMs: 1000, ownMarginMs: 1000, manager: OWN };
    await expectUnharmed(t, () => startNodeScene(both(lanes, { idleMs: 60_000 })));
  });
});

for (const [what, idleMs, called, more] of [
  ["the application closes", 1000, {}, {}],
  // GOAWAY twice: what is on its way between them is served, however late it comes.
  ["the sidecar beside it closes the hop", 60_000, OWN, { waitMs: 1000, ownMarginMs: Infinity, isTogether: true }],
] as const) {
  it(`two sidecars hide that ${what}`, LIMIT, async (t) => {
    const all = both({ lanes: 250, rounds: 2 * TIMES, ...more }, { idleMs });
    await expectUnharmed(t, async () => {
      const upstreams = await Upstreams.start(all);
      const pairs = await Promise.all(upstreams.all.map(({ port }) => startMeshPair(t, port, "http1", {}, called)));
      return {
        cases: upstreams.all.flatMap((upstream, i) => toCase(all[i], upstream, pairs[i]?.port ?? 0)),
        stop: async () => {
          await Promise.all(pairs.flatMap(({ caller, called: other }) => [caller.stop(), other.stop()]));
          upstreams.stop();
        },
      };
    });
  });
}
