import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { until } from "../registry/testing/suite.ts";
import { LeaderElection, type LeaderTimes } from "./leader.ts";
import { TestApiServer } from "./testing/api-server.ts";

const leases = "/apis/coordination.k8s.io/v1/leases";
const quick: LeaderTimes = { leaseMs: 600, renewMs: 400, retryMs: 10 };

interface Candidates {
  readonly server: TestApiServer;

  readonly join: (identity: string) => LeaderElection;
  readonly leaders: () => readonly string[];
}

async function withCandidates(body: (candidates: Candidates) => Promise<void>): Promise<void> {
  const server = await TestApiServer.start(leases);
  const elections = new Map<string, LeaderElection>();
  const clients: { close(): void }[] = [];
  const leaders = (): readonly string[] =>
    [...elections].filter(([, election]) => election.isLeader.current).map(([name]) => name);
  let most = 0;
  try {
    await body({
      server,
      leaders,
      join(identity) {
        const client = server.client;
        clients.push(client);
        const election = new LeaderElection({
          client,
          clock: systemClock,
          random: systemRandom,
          log: silentLog,
          namespace: "heddle-system",
          name: "heddle-leader",
          identity,
          times: quick,
        });
        elections.set(identity, election);
        election.isLeader.subscribe(() => (most = Math.max(most, leaders().length)));
        election.start();
        return election;
      },
    });
  } finally {
    await Promise.all([...elections.values()].map(async (election) => election.close()));
    for (const client of clients) client.close();
    await server.down();
  }
  assert.equal(most, 1, "there were two leaders at one time");
}

test("one of several leads; when it ends it gives the lease back, and another takes it at once", async () => {
  await withCandidates(async ({ join, leaders, server }) => {
    const first = join("a");
    await until(() => leaders().length === 1);
    join("b");
    join("c");
    await first.close();
    await until(() => leaders().length === 1);
    assert.notDeepEqual(leaders(), ["a"]);
    const spec = server.get(leases, "heddle-system", "heddle-leader")?.["spec"];
    assert.deepEqual(
      { ...(spec as object), acquireTime: "", renewTime: "" },
      {
        holderIdentity: leaders()[0],
        leaseDurationSeconds: 1,
        acquireTime: "",
        renewTime: "",
        leaseTransitions: 1,
      },
    );
  });
});

test("a leader that cannot renew stops in time, and leads again when the API server is back", async () => {
  await withCandidates(async ({ join, leaders, server }) => {
    join("a");
    await until(() => leaders().length === 1);
    await server.down();
    await until(() => leaders().length === 0);
    await server.up();
    await until(() => leaders().length === 1);
  });
});

test("the lease of one that died is taken over when its time is up", async () => {
  await withCandidates(async ({ join, leaders, server }) => {
    server.put(leases, {
      metadata: { namespace: "heddle-system", name: "heddle-leader" },
      // Its clock is years ahead of ours: that says nothing.
      spec: { holderIdentity: "dead", leaseDurationSeconds: 15, renewTime: "2999-01-01T00:00:00.000000Z" },
    });
    join("a");
    await until(() => leaders().length === 1);
  });
});
