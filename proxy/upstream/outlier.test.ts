import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutlierDetection } from "#config/model/cluster.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import type { AttemptReport } from "./contract.ts";
import { EndpointState } from "./endpoint-state.ts";
import { OutlierDetector } from "./outlier.ts";
import { endpointsOf, OUTLIER } from "./testing/cluster-of.ts";

const OK: AttemptReport = { kind: "response", status: 200, grpcStatus: undefined, latencyMs: 1, retryAfterMs: 0 };
const BAD_GATEWAY: AttemptReport = { ...OK, status: 502 };
const SERVER_ERROR: AttemptReport = { ...OK, status: 500 };
const REFUSED: AttemptReport = { kind: "failure", reason: "connect-failure", latencyMs: 1 };

function setUp(count: number, overrides: Partial<OutlierDetection> = {}) {
  const clock = new FakeClock();
  const hosts = endpointsOf(count).map((endpoint) => new EndpointState(endpoint));
  const events: string[] = [];
  const detector = new OutlierDetector(
    { ...OUTLIER, ...overrides },
    {
      clock,
      random: makeSeededRandom(5),
      hosts: () => hosts,
      onChange: (host, reason) => events.push(`${host.key} ${reason ?? "back"}`),
    },
  );
  const report = (at: number, result: AttemptReport, times = 1): void => {
    const host = hosts[at];
    if (host === undefined) throw new RangeError(`there is no endpoint ${at}`);
    for (let i = 0; i < times; i++) detector.report(host, result);
  };
  const check = (at: number): void => {
    const host = hosts[at];
    if (host !== undefined) detector.checkSucceeded(host);
  };
  const ejected = (): number[] => hosts.flatMap((host, i) => (host.outlier.isEjected ? [i] : []));
  return { clock, detector, events, hosts, check, report, ejected };
}

test("five errors in a row eject, four and a success do not", () => {
  const { report, ejected, events } = setUp(3);
  report(0, SERVER_ERROR, 4);
  report(0, OK);
  report(0, SERVER_ERROR, 4);
  assert.deepEqual(ejected(), []);
  report(0, SERVER_ERROR);
  assert.deepEqual(ejected(), [0]);
  assert.deepEqual(events, ["10.0.0.0:80 consecutive 5xx"]);
});

test("gateway failures have a count of their own, which a plain 500 ends", () => {
  const { report, ejected } = setUp(3, {
    consecutiveGatewayFailure: 3,
    enforcingConsecutiveGatewayFailure: 100,
    enforcingConsecutive5xx: 0,
  });
  report(0, BAD_GATEWAY, 2);
  report(0, SERVER_ERROR);
  report(0, BAD_GATEWAY, 2);
  assert.deepEqual(ejected(), []);
  report(0, BAD_GATEWAY);
  assert.deepEqual(ejected(), [0]);
});

test("a gRPC status in the head counts as the HTTP status that it stands for", () => {
  const { report, ejected } = setUp(3);
  report(0, { ...OK, grpcStatus: 5 }, 10);
  assert.deepEqual(ejected(), []);
  report(0, { ...OK, grpcStatus: 14 }, 5);
  assert.deepEqual(ejected(), [0]);
});

test("connect failures count as errors; split from external ones they have a count of their own", () => {
  const joined = setUp(3);
  joined.report(0, REFUSED, 5);
  assert.deepEqual(joined.ejected(), [0]);
  const split = setUp(3, { splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailure: 7 });
  split.report(0, REFUSED, 6);
  assert.deepEqual(split.ejected(), []);
  split.report(0, REFUSED);
  assert.deepEqual(split.ejected(), [0]);
});

test("what is not the endpoint's fault does not count", () => {
  const { report, ejected } = setUp(3);
  for (const reason of ["overflow", "refused-stream", "no-healthy-endpoint"] as const) {
    report(0, { kind: "failure", reason, latencyMs: 1 }, 20);
  }
  assert.deepEqual(ejected(), []);
});

test("no more than the maximum share is out; a first one above it only where the policy says so", () => {
  const { report, ejected } = setUp(10, { maxEjectionPercent: 20 });
  for (let at = 0; at < 10; at++) report(at, SERVER_ERROR, 5);
  assert.deepEqual(ejected(), [0, 1]);
  for (const alwaysEjectOneHost of [false, true]) {
    const few = setUp(3, { maxEjectionPercent: 10, alwaysEjectOneHost });
    for (let at = 0; at < 3; at++) few.report(at, SERVER_ERROR, 5);
    assert.deepEqual(few.ejected(), alwaysEjectOneHost ? [0] : []);
  }
});

test("a successful active check brings an ejected endpoint back, if the policy lets it", () => {
  for (const successfulHealthCheckUnejects of [false, true]) {
    const { check, report, ejected } = setUp(3, { successfulHealthCheckUnejects });
    report(0, SERVER_ERROR, 5);
    check(0);
    assert.deepEqual(ejected(), successfulHealthCheckUnejects ? [] : [0]);
  }
});

test("local-origin results have a success rate of their own where they are split off", () => {
  const { clock, report, ejected, events } = setUp(6, {
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailure: 1_000_000,
    maxEjectionPercent: 50,
  });
  for (let at = 0; at < 6; at++) {
    report(at, OK, at === 2 ? 50 : 100);
    if (at === 2) report(at, REFUSED, 50);
  }
  clock.advance(10_000);
  assert.deepEqual(ejected(), [2]);
  assert.match(events[0] ?? "", /local-origin success rate 50\.0 %/);
});

const STAGES = { stages: { suspectForMs: 10_000, confirmUntilMs: 30_000 } };

test("a suspect is not tried until its time is over, and then by one request at a time", () => {
  const { clock, detector, events, report } = setUp(3, STAGES);
  report(0, SERVER_ERROR, 5);
  assert.deepEqual(events, ["10.0.0.0:80 suspect: consecutive 5xx"]);
  // Requests that it had already.
  report(0, SERVER_ERROR, 5);
  clock.advance(9999);
  assert.equal(detector.takeTrial({}, []), undefined);
  clock.advance(1);
  const trial = detector.takeTrial({}, []);
  assert.equal(trial?.key, "10.0.0.0:80");
  assert.equal(detector.takeTrial({}, []), undefined);
  if (trial !== undefined) detector.trialEnded(trial);
  assert.equal(detector.takeTrial({}, []), trial, "the trial had no result: another is due");
});

test("a success brings a suspect back, before the trial too", () => {
  for (const waitMs of [1, 15_000]) {
    const { clock, report, ejected } = setUp(3, STAGES);
    report(0, SERVER_ERROR, 5);
    clock.advance(waitMs);
    report(0, OK);
    assert.deepEqual(ejected(), [], `after ${waitMs} ms`);
    clock.advance(100_000);
    assert.equal(clock.pendingTimers, 0);
  }
});

test("a failed trial, or no word until the end of the time, takes a suspect out; only a trial leads back", () => {
  for (const isTried of [true, false]) {
    const { clock, detector, events, report, ejected } = setUp(3, { ...STAGES, baseEjectionTimeMs: 5000 });
    report(0, SERVER_ERROR, 5);
    clock.advance(10_000);
    if (isTried) report(0, BAD_GATEWAY);
    else clock.advance(20_000);
    assert.match(events.at(-1) ?? "", isTried ? /the trial request failed/ : /no success/);
    assert.equal(detector.takeTrial({}, []), undefined);
    clock.advance(5000);
    assert.deepEqual(ejected(), [0], "it is out until it has shown that it is well");
    assert.equal(detector.takeTrial({}, [])?.key, "10.0.0.0:80");
    report(0, REFUSED);
    clock.advance(9999);
    assert.equal(detector.takeTrial({}, []), undefined, "the second time is longer");
    clock.advance(1);
    assert.equal(detector.takeTrial({}, [])?.key, "10.0.0.0:80");
    report(0, OK);
    assert.deepEqual(ejected(), []);
  }
});

test("a trial is only for requests that may have the endpoint", () => {
  const { clock, detector, hosts, report } = setUp(3, STAGES);
  report(0, SERVER_ERROR, 5);
  clock.advance(10_000);
  assert.equal(detector.takeTrial({ tenant: "acme" }, []), undefined);
  assert.equal(
    detector.takeTrial(
      {},
      hosts.slice(0, 1).map((host) => host.endpoint),
    ),
    undefined,
  );
  if (hosts[0] !== undefined) hosts[0].checkedHealth = "unhealthy";
  assert.equal(detector.takeTrial({}, []), undefined);
});

test("each ejection in short order lasts longer, up to the maximum, and quiet time forgives", () => {
  const { clock, report, ejected } = setUp(3, { baseEjectionTimeMs: 1000, maxEjectionTimeMs: 2500, intervalMs: 500 });
  for (const lastsMs of [1000, 2000, 2500]) {
    report(0, SERVER_ERROR, 5);
    clock.advance(lastsMs - 1);
    assert.deepEqual(ejected(), [0], `${lastsMs}`);
    clock.advance(1);
    assert.deepEqual(ejected(), [], `${lastsMs}`);
  }
  clock.advance(10_000);
  assert.equal(clock.pendingTimers, 0);
  report(0, SERVER_ERROR, 5);
  clock.advance(1000);
  assert.deepEqual(ejected(), []);
});

test("a success rate far below that of the others ejects at the sweep", () => {
  const { clock, report, ejected, events } = setUp(6, { consecutive5xx: 1_000_000, maxEjectionPercent: 50 });
  for (let at = 0; at < 6; at++) {
    report(at, OK, at === 3 ? 60 : 100);
    if (at === 3) report(at, SERVER_ERROR, 40);
  }
  assert.deepEqual(ejected(), []);
  clock.advance(10_000);
  assert.deepEqual(ejected(), [3]);
  assert.match(events[0] ?? "", /success rate 60\.0 %/);
});

test("the success rate is not judged with too few endpoints or requests", () => {
  for (const [count, volume] of [
    [4, 100],
    [6, 99],
  ] as const) {
    const { clock, report, ejected } = setUp(count, { consecutive5xx: 1_000_000 });
    for (let at = 0; at < count; at++) report(at, at === 0 ? SERVER_ERROR : OK, volume);
    clock.advance(10_000);
    assert.deepEqual(ejected(), []);
  }
});

test("the failure percentage ejects when it is enforced", () => {
  const { clock, report, ejected } = setUp(5, {
    consecutive5xx: 1_000_000,
    enforcingSuccessRate: 0,
    enforcingFailurePercentage: 100,
    maxEjectionPercent: 100,
  });
  for (let at = 0; at < 5; at++) report(at, at < 2 ? SERVER_ERROR : OK, 50);
  clock.advance(10_000);
  assert.deepEqual(ejected(), [0, 1]);
});

test("an enforcement of half the cases ejects about half the time", () => {
  let out = 0;
  const { report, ejected, clock } = setUp(1, {
    enforcingConsecutive5xx: 50,
    baseEjectionTimeMs: 1,
    maxEjectionTimeMs: 1,
    maxEjectionPercent: 100,
  });
  for (let i = 0; i < 1000; i++) {
    report(0, SERVER_ERROR, 5);
    out += ejected().length;
    clock.advance(2);
  }
  // Binomial: deviation 16; six of them.
  assert.ok(Math.abs(out - 500) < 96, `${out}`);
});

test("closing brings everybody back and leaves no timer", () => {
  const { clock, detector, report, ejected } = setUp(3);
  report(0, SERVER_ERROR, 5);
  detector.close();
  assert.deepEqual(ejected(), []);
  assert.equal(clock.pendingTimers, 0);
});
