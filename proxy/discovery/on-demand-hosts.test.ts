import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { OnDemandHosts, type HostState } from "./on-demand-hosts.ts";
import { OnDemandTables } from "./on-demand-tables.ts";

class Bench {
  readonly clock = new FakeClock();
  readonly states = new Map<string, HostState>();
  readonly said: string[] = [];
  trouble: string | undefined;
  readonly hosts = new OnDemandHosts(this.clock, {
    stateOf: (name) => this.states.get(name) ?? { kind: "waiting" },
    subscribe: (name) => void this.said.push(`+${name}`),
    unsubscribe: (names) => void this.said.push(...names.map((name) => `-${name}`)),
    troubleOf: () => this.trouble,
  });

  tell(name: string, state: HostState): void {
    this.states.set(name, state);
    this.hosts.settle();
  }
}

test("those who ask for a host at the same time ask once and are answered together", async () => {
  const bench = new Bench();
  const answers = [bench.hosts.lookUp("t/a"), bench.hosts.lookUp("t/a")];
  bench.tell("t/a", { kind: "found" });
  assert.deepEqual(await Promise.all(answers), [{ kind: "found" }, { kind: "found" }]);
  assert.deepEqual(bench.said, ["+t/a"]);
});

test("that there is no such host holds for 5 s, without another question, and is not subscribed to meanwhile", async () => {
  const bench = new Bench();
  const first = bench.hosts.lookUp("t/a");
  bench.tell("t/a", { kind: "unknown" });
  assert.deepEqual(await first, { kind: "unknown" });
  bench.states.clear();
  bench.clock.advance(4999);
  assert.deepEqual(await bench.hosts.lookUp("t/a"), { kind: "unknown" });
  assert.deepEqual(bench.said, ["+t/a", "-t/a"]);
  bench.clock.advance(1);
  const second = bench.hosts.lookUp("t/a");
  bench.tell("t/a", { kind: "found" });
  assert.deepEqual(await second, { kind: "found" });
});

test("without an answer a lookup fails after 1 s with the cause, and a late answer serves the next", async () => {
  const bench = new Bench();
  bench.trouble = "connection refused";
  const first = bench.hosts.lookUp("t/a");
  bench.clock.advance(1000);
  assert.deepEqual(await first, {
    kind: "failed",
    reason: "the control plane did not answer within 1000 ms: connection refused",
  });
  bench.tell("t/a", { kind: "found" });
  assert.deepEqual(await bench.hosts.lookUp("t/a"), { kind: "found" });
  assert.deepEqual(bench.said, ["+t/a"]);
});

test("a host that nobody uses for ten minutes is let go; a used one and one from before a restart stay", async () => {
  const bench = new Bench();
  for (const name of ["t/idle", "t/used"]) {
    bench.states.set(name, { kind: "found" });
    assert.deepEqual(await bench.hosts.lookUp(name), { kind: "found" });
  }
  bench.clock.advance(300_000);
  bench.hosts.use(["t/used"]);
  bench.hosts.keep("t/stored");
  bench.clock.advance(300_000);
  assert.deepEqual(bench.said, ["+t/idle", "+t/used", "-t/idle"]);
  bench.clock.advance(360_000);
  assert.deepEqual(bench.said.slice(3).toSorted(), ["-t/stored", "-t/used"]);
});

const noHeaders = { set: [], add: [], addIfAbsent: [], remove: [] };
const scope = { requestHeaders: noHeaders, responseHeaders: noHeaders, filterOverrides: [] };

function makeHost(name: string, domains: readonly string[]): VirtualHost {
  return { ...scope, name, domains, routes: [], retry: undefined };
}

test("a table keeps its identity while its hosts do; a name that two hosts claim belongs to who was asked for it", () => {
  const tables = new OnDemandTables();
  const base: RouteTable = { ...scope, name: "a/t", virtualHosts: [], onDemand: true };
  const old = makeHost("old", ["x", "y"]);
  const held = new Map([
    ["a/t/x", old],
    ["a/t/y", makeHost("new", ["y"])],
    ["gone/y", old],
  ]);
  const merged = tables.merge(new Map([["a/t", base]]), held);
  assert.deepEqual(
    merged.get("a/t")?.virtualHosts.map(({ name, domains }) => [name, domains]),
    [
      ["old", ["x"]],
      ["new", ["y"]],
    ],
  );
  assert.equal(tables.merge(new Map([["a/t", base]]), new Map(held)).get("a/t"), merged.get("a/t"));
  assert.deepEqual([...merged.keys()], ["a/t"]);
});
