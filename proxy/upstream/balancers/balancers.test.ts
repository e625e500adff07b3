import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LbPolicy } from "#config/model/cluster.ts";
import { hashString } from "#lib/hash.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { EndpointState } from "../endpoint-state.ts";
import { parseLoadReport } from "../load-report.ts";
import { endpointOf } from "../testing/cluster-of.ts";
import type { Balancer } from "./balancer.ts";
import { EdfScheduler } from "./edf.ts";
import { balancerOf } from "./standard.ts";

const POLICIES: readonly LbPolicy[] = [
  { kind: "roundRobin" },
  { kind: "leastRequest", choiceCount: 2, activeRequestBias: 1 },
  { kind: "random" },
  { kind: "ringHash", minimumRingSize: 4096, maximumRingSize: 8_388_608 },
  { kind: "maglev", tableSize: 65_537 },
  { kind: "peakEwma", decayMs: 10_000, initialRttMs: 30 },
  { kind: "leastRequest", choiceCount: 2, activeRequestBias: 1, isFullScan: true },
  {
    kind: "ringHash",
    minimumRingSize: 4096,
    maximumRingSize: 8_388_608,
    hashing: { useHostname: true, balanceFactor: 200 },
  },
  { kind: "originalDst" },
];

function hostsOf(...weights: readonly number[]): readonly EndpointState[] {
  return weights.map((weight, i) => new EndpointState(endpointOf(`10.0.0.${i}`, 80, { weight })));
}

function make(policy: LbPolicy, hosts: readonly EndpointState[], clock = new FakeClock()): Balancer {
  return balancerOf(policy)(hosts, { clock, random: makeSeededRandom(11) });
}

/** Picks per endpoint, each request over before the next. */
function count(balancer: Balancer, hosts: readonly EndpointState[], picks: number): number[] {
  const counts = new Map<EndpointState, number>();
  for (let i = 0; i < picks; i++) {
    const host = balancer.pick(undefined);
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return hosts.map((host) => counts.get(host) ?? 0);
}

for (const policy of POLICIES) {
  describe(`balancer ${policy.kind}`, () => {
    test("takes the only endpoint there is", () => {
      const hosts = hostsOf(1);
      assert.equal(make(policy, hosts).pick(undefined), hosts[0]);
    });

    test("gives endpoints of one weight about the same", () => {
      const hosts = hostsOf(1, 1, 1, 1, 1);
      for (const picks of count(make(policy, hosts), hosts, 10_000)) {
        // 2000 each; a binomial's deviation is 40; the ring's own unevenness is within 15 %.
        assert.ok(picks > 1600 && picks < 2400, `${picks}`);
      }
    });

    test("gives a heavier endpoint its share", () => {
      const hosts = hostsOf(3, 1);
      const [heavy = 0] = count(make(policy, hosts), hosts, 10_000);
      if (policy.kind === "peakEwma") assert.ok(heavy > 6000, `${heavy}`);
      else assert.ok(heavy > 7000 && heavy < 8000, `${heavy}`);
    });

    test("never picks what is not in its list, with any hash", () => {
      const hosts = hostsOf(1, 2, 3);
      const balancer = make(policy, hosts);
      for (const hash of [0, 1, 2 ** 31, 2 ** 32 - 1]) assert.ok(hosts.includes(balancer.pick(hash)));
    });
  });
}

test("round robin goes around in turn", () => {
  const hosts = hostsOf(1, 1, 1);
  const balancer = make({ kind: "roundRobin" }, hosts);
  const picks = Array.from({ length: 6 }, () => balancer.pick(undefined));
  assert.equal(new Set(picks.slice(0, 3)).size, 3);
  assert.deepEqual(picks.slice(0, 3), picks.slice(3));
});

test("weighted turns are smooth: the heavy one never comes more than its share in a row", () => {
  const hosts = hostsOf(3, 1);
  const balancer = make({ kind: "roundRobin" }, hosts);
  let run = 0;
  for (let i = 0; i < 1000; i++) {
    run = balancer.pick(undefined) === hosts[0] ? run + 1 : 0;
    assert.ok(run <= 4);
  }
});

test("the scheduler serves by weight exactly, also when a weight changes", () => {
  const weights = [5, 2, 1];
  const scheduler = new EdfScheduler(3, makeSeededRandom(3), (index) => weights[index] ?? 1);
  const counts = [0, 0, 0];
  for (let i = 0; i < 800; i++) {
    const at = scheduler.next();
    counts[at] = (counts[at] ?? 0) + 1;
  }
  for (const [i, expected] of [500, 200, 100].entries()) assert.ok(Math.abs((counts[i] ?? 0) - expected) <= 1);
  weights[0] = 1;
  let first = 0;
  for (let i = 0; i < 400; i++) if (scheduler.next() === 0) first++;
  assert.ok(Math.abs(first - 100) <= 2, `${first}`);
});

test("least request prefers the one with fewer running requests", () => {
  const hosts = hostsOf(1, 1);
  const [busy] = hosts;
  if (busy !== undefined) busy.activeRequests = 100;
  const [toBusy = 0] = count(make({ kind: "leastRequest", choiceCount: 2, activeRequestBias: 1 }, hosts), hosts, 4000);
  // Only when both draws are the busy one.
  assert.ok(toBusy > 800 && toBusy < 1200, `${toBusy}`);
});

test("least request with weights takes running requests into account", () => {
  const hosts = hostsOf(2, 1);
  const [busy] = hosts;
  if (busy !== undefined) busy.activeRequests = 9;
  const [toBusy = 0] = count(make({ kind: "leastRequest", choiceCount: 2, activeRequestBias: 1 }, hosts), hosts, 600);
  // 2/10 against 1: a sixth.
  assert.ok(toBusy > 80 && toBusy < 120, `${toBusy}`);
});

for (const kind of ["ringHash", "maglev"] as const) {
  const policy = POLICIES.find((one) => one.kind === kind) ?? { kind: "random" };
  test(`${kind}: the same hash gives the same endpoint, and another list moves few keys`, () => {
    const hosts = hostsOf(1, 1, 1, 1, 1);
    const all = make(policy, hosts);
    const fewer = make(policy, hosts.slice(0, 4));
    let moved = 0;
    for (let i = 0; i < 2000; i++) {
      const hash = hashString(`user-${i}`);
      const host = all.pick(hash);
      assert.equal(all.pick(hash), host);
      if (host !== hosts[4] && fewer.pick(hash) !== host) moved++;
    }
    assert.ok(moved < 160, `${moved}`);
  });
}

test("peak EWMA avoids the slow one, and tries it again when its slowness has faded", () => {
  const clock = new FakeClock();
  const hosts = hostsOf(1, 1);
  const balancer = make({ kind: "peakEwma", decayMs: 10_000, initialRttMs: 30 }, hosts, clock);
  const [slow, fast] = hosts;
  slow?.sampleLatency(2000, clock.nowMs(), 10_000);
  fast?.sampleLatency(5, clock.nowMs(), 10_000);
  const [before = 0] = count(balancer, hosts, 1000);
  assert.ok(before < 320, `${before}`);
  clock.advance(120_000);
  fast?.sampleLatency(5, clock.nowMs(), 10_000);
  const [after = 0] = count(balancer, hosts, 1000);
  assert.ok(after > 600, `${after}`);
});

test("peak EWMA leaves an endpoint alone that asked for quiet", () => {
  const clock = new FakeClock();
  const hosts = hostsOf(1, 1);
  const [quiet] = hosts;
  if (quiet !== undefined) quiet.quietUntilMs = clock.nowMs() + 1000;
  const [picks = 0] = count(make({ kind: "peakEwma", decayMs: 10_000, initialRttMs: 30 }, hosts, clock), hosts, 1000);
  assert.ok(picks < 320, `${picks}`);
});

test("an endpoint in slow start gets a share that grows with time", () => {
  const clock = new FakeClock();
  const hosts = hostsOf(1, 1);
  for (const host of hosts) host.setSlowStart({ windowMs: 10_000, aggression: 1, minWeightPercent: 10 });
  const [young] = hosts;
  if (young !== undefined) young.slowStartMs = clock.nowMs();
  const balancer = make({ kind: "roundRobin" }, hosts, clock);
  const [early = 0] = count(balancer, hosts, 1100);
  assert.ok(early > 80 && early < 120, `${early}`);
  clock.advance(5000);
  const [middle = 0] = count(balancer, hosts, 1500);
  assert.ok(middle > 450 && middle < 550, `${middle}`);
  clock.advance(5000);
  const [late = 0] = count(balancer, hosts, 1000);
  assert.ok(late > 470 && late < 530, `${late}`);
});

test("a bounded hash passes keys on when their endpoint has its share, and takes them back", () => {
  const hosts = hostsOf(1, 1, 1, 1);
  const hashing = { useHostname: false, balanceFactor: 125 };
  const balancer = make({ kind: "maglev", tableSize: 65_537, hashing }, hosts);
  const home = balancer.pick(12_345);
  const taken = new Map<EndpointState, number>();
  for (let i = 0; i < 400; i++) {
    const host = balancer.pick(12_345);
    host.activeRequests++;
    taken.set(host, (taken.get(host) ?? 0) + 1);
  }
  // 400 running requests, 100 each in the mean, none above 1.25 of that.
  for (const host of hosts) assert.ok((taken.get(host) ?? 0) <= 126, `${taken.get(host)}`);
  for (const host of hosts) host.activeRequests = 0;
  assert.equal(balancer.pick(12_345), home);
});

test("an endpoint is placed by its host name, or by the key of its metadata", () => {
  const named = (address: string, hostname: string, labels = {}): EndpointState =>
    new EndpointState(endpointOf(address, 80, { hostname, labels }));
  const policy: LbPolicy = {
    kind: "maglev",
    tableSize: 65_537,
    hashing: { useHostname: true, balanceFactor: 0 },
  };
  const before = make(policy, [
    named("10.0.0.1", "a"),
    named("10.0.0.2", "b"),
    named("10.0.0.3", "", { hash_key: "c" }),
  ]);
  const after = make(policy, [
    named("10.0.9.1", "a"),
    named("10.0.9.2", "b"),
    named("10.0.9.3", "", { hash_key: "c" }),
  ]);
  for (let key = 0; key < 500; key++) {
    const last = (balancer: Balancer): string => balancer.pick(hashString(`k${key}`)).endpoint.address.slice(-1);
    assert.equal(last(before), last(after));
  }
});

test("the least busy of all endpoints is found by a full scan", () => {
  const hosts = hostsOf(1, 1, 1, 1, 1, 1);
  for (const [i, host] of hosts.entries()) host.activeRequests = i === 4 ? 1 : 2;
  const balancer = make({ kind: "leastRequest", choiceCount: 2, activeRequestBias: 1, isFullScan: true }, hosts);
  for (let i = 0; i < 20; i++) assert.equal(balancer.pick(undefined), hosts[4]);
});

describe("balancer weightedByLoad", () => {
  const policy = {
    kind: "weightedByLoad",
    blackoutMs: 10_000,
    expirationMs: 180_000,
    updateMs: 1000,
    errorPenalty: 1,
    metricNames: [],
  } as const satisfies LbPolicy;
  const report = (hosts: readonly EndpointState[], utilizations: readonly number[], nowMs: number): void => {
    for (const [i, text] of utilizations.entries()) {
      const told = parseLoadReport(`TEXT rps_fractional=100,application_utilization=${text}`);
      if (told !== undefined) hosts[i]?.load.take(told, policy, nowMs);
    }
  };

  test("takes even turns until reports have come for the time of the blackout, then by weight", () => {
    const clock = new FakeClock();
    const hosts = hostsOf(1, 1, 1);
    const balancer = make(policy, hosts, clock);
    clock.advance(1);
    report(hosts, [0.5, 0.25, 0.25], clock.nowMs());
    assert.deepEqual(count(balancer, hosts, 300), [100, 100, 100]);
    clock.advance(10_000);
    report(hosts, [0.5, 0.25, 0.25], clock.nowMs());
    count(balancer, hosts, 10);
    const [slow = 0] = count(balancer, hosts, 1000);
    assert.ok(Math.abs(slow - 200) <= 2, `${slow}`);
  });

  test("gives who says nothing the median, and forgets reports that are too old", () => {
    const clock = new FakeClock();
    const hosts = hostsOf(1, 1, 1, 1);
    const balancer = make(policy, hosts, clock);
    clock.advance(1);
    report(hosts, [1, 0.5, 0.25], clock.nowMs());
    clock.advance(10_000);
    count(balancer, hosts, 10);
    const [slow = 0, middle = 0, fast = 0, silent = 0] = count(balancer, hosts, 900);
    for (const [found, wanted] of [
      [slow, 100],
      [middle, 200],
      [fast, 400],
      [silent, 200],
    ] as const)
      assert.ok(Math.abs(found - wanted) <= 2, `${found} for ${wanted}`);
    clock.advance(180_000);
    count(balancer, hosts, 10);
    assert.deepEqual(count(balancer, hosts, 400), [100, 100, 100, 100]);
  });
});
