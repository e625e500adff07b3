import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CircuitLimits } from "#config/model/cluster.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { CircuitCounters } from "#proxy/resilience/circuit-counters.ts";
import type { ConnectTarget } from "./connector.ts";
import type { Care, OpenTicket } from "./contract.ts";
import { PeerLifetimes } from "./peer-lifetime.ts";
import { Pool } from "./pool.ts";
import { resolveTarget } from "./target.ts";
import { clusterOf, endpointOf, HTTP_OPTIONS } from "./testing/cluster-of.ts";
import { deafHandler, type FakeConnection, FakeConnector, RecordingWaiter } from "./testing/fake-connector.ts";

interface Setup {
  readonly clock: FakeClock;
  readonly connector: FakeConnector;
  readonly circuit: CircuitCounters;
  readonly pool: Pool;
  readonly open: (care?: Care) => RecordingWaiter;
}

function setUp(
  protocol: "http1" | "http2" | "auto",
  http: Partial<typeof HTTP_OPTIONS> = {},
  limits: Partial<CircuitLimits> = {},
  maxStreams = 100,
  afterEvents: (look: () => void) => void = (look) => look(),
): Setup {
  const cluster = clusterOf("c", { http: { ...HTTP_OPTIONS, ...http } });
  const clock = new FakeClock();
  const connector = new FakeConnector(maxStreams, () => clock.nowMs());
  const circuit = new CircuitCounters({ ...cluster.limits, ...limits });
  const target = targetOf(resolveTarget(cluster, endpointOf("10.0.0.1", 80), protocol));
  const lifetimes = new PeerLifetimes();
  const pool = new Pool(target, { clock, connector, circuit, lifetimes, afterEvents });
  const open = (care?: Care): RecordingWaiter => {
    const waiter = new RecordingWaiter(care);
    pool.open(deafHandler, waiter);
    return waiter;
  };
  return { clock, connector, circuit, pool, open };
}

function targetOf(target: ConnectTarget | string): ConnectTarget {
  if (typeof target === "string") throw new Error(target);
  return target;
}

test("an HTTP/1 pool reuses a connection when its stream is over, the newest first", () => {
  const { connector, open } = setUp("http1");
  const [one, two] = [open(), open()];
  connector.at(0).succeed();
  connector.at(1).succeed();
  one.stream?.finish();
  two.stream?.finish();
  const third = open();
  assert.equal(third.stream?.connection, connector.at(1));
  assert.equal(connector.attempts.length, 2);
});

test("a waiter takes the connection that becomes free before its own is up", () => {
  const { connector, open, pool } = setUp("http1");
  const one = open();
  connector.at(0).succeed();
  const two = open();
  one.stream?.finish();
  assert.equal(two.stream?.connection, connector.at(0));
  connector.at(1).succeed();
  assert.equal(open().stream?.connection, connector.at(1));
  assert.equal(pool.connectionCount, 2);
});

test("an HTTP/2 pool gives a connection one stream until its peer has said how many it takes, and then no more than those", () => {
  const { connector, open, circuit } = setUp("http2", {}, {}, 10);
  const waiters = Array.from({ length: 50 }, () => open());
  const count = (n: number): number => waiters.filter(({ stream }) => stream?.connection === connector.at(n)).length;
  connector.at(0).isSettled = false;
  connector.at(0).succeed();
  assert.equal(count(0), 1);
  assert.equal(open().isAnswered, false);
  assert.equal(connector.attempts.length, 1, "the others are expected to find room there");
  connector.at(0).settle();
  assert.equal(count(0), 10);
  assert.equal(connector.attempts.length, 6, "the peer's own number is what others of it are expected to carry");
  for (let n = 1; n < 6; n++) connector.at(n).succeed();
  assert.ok(waiters.every(({ stream }) => stream !== undefined));
  assert.equal(circuit.pending, 0);
});

test("waiters of an HTTP/2 connection that ends before its peer's SETTINGS get another one", () => {
  const { connector, open } = setUp("http2");
  const [, second] = [open(), open()];
  connector.at(0).isSettled = false;
  connector.at(0).succeed();
  connector.at(0).goAway();
  connector.at(1).succeed();
  assert.equal(second.stream?.connection, connector.at(1));
});

test("an HTTP/2 pool puts many waiters on one connection", () => {
  const { connector, open, circuit } = setUp("http2");
  const waiters = Array.from({ length: 50 }, () => open());
  assert.equal(connector.attempts.length, 1);
  connector.at(0).succeed();
  assert.ok(waiters.every((waiter) => waiter.stream?.connection === connector.at(0)));
  assert.equal(circuit.pending, 0);
});

test("where ALPN decides, a burst begins one connection, and the others when that one turns out to be HTTP/1", () => {
  const { connector, open } = setUp("auto");
  const waiters = Array.from({ length: 5 }, () => open());
  assert.equal(connector.attempts.length, 1);
  connector.at(0).succeed();
  assert.equal(connector.attempts.length, 5);
  for (let n = 1; n < 5; n++) connector.at(n).succeed();
  assert.ok(waiters.every(({ stream }) => stream !== undefined));
});

test("at 80 % of the peer's streams another connection is opened, and the busy one still serves", () => {
  const { connector, open } = setUp("http2", {}, {}, 10);
  open();
  connector.at(0).succeed();
  for (let i = 0; i < 7; i++) open();
  assert.equal(connector.attempts.length, 1);
  assert.equal(open().stream?.connection, connector.at(0));
  assert.equal(connector.attempts.length, 2);
  connector.at(1).succeed();
  assert.equal(open().stream?.connection, connector.at(1));
});

test("a connection with more than 1 MiB queued for longer than 10 ms gets company, up to four", () => {
  const { connector, open, clock } = setUp("http2");
  open();
  connector.at(0).succeed();
  connector.at(0).pendingBytes = 2_000_000;
  open();
  clock.advance(11);
  assert.equal(connector.attempts.length, 1);
  open();
  assert.equal(connector.attempts.length, 2);
  connector.at(1).succeed();
  assert.equal(open().stream?.connection, connector.at(1));
  for (let i = 0; i < 50; i++) {
    for (const one of connector.attempts) one.pendingBytes = 2_000_000;
    clock.advance(11);
    open();
    connector.attempts.at(-1)?.succeed();
  }
  assert.equal(connector.attempts.length, 4);
});

test("after GOAWAY running streams go on, new ones get another connection", () => {
  const { connector, open, pool } = setUp("http2");
  const old = open();
  connector.at(0).succeed();
  connector.at(0).goAway();
  const young = open();
  assert.equal(connector.attempts.length, 2);
  connector.at(1).succeed();
  assert.equal(young.stream?.connection, connector.at(1));
  assert.equal(pool.connectionCount, 2);
  old.stream?.finish();
  assert.equal(pool.connectionCount, 1);
});

test("pool answers overflow when every connection is taken and the queue is full", () => {
  const { connector, open, circuit } = setUp("http1", {}, { maxConnections: 1, maxPendingRequests: 1 });
  const first = open();
  connector.at(0).succeed();
  const second = open();
  const third = open();
  assert.equal(third.failure, "overflow");
  assert.match(third.detail, /10\.0\.0\.1:80/);
  assert.equal(connector.attempts.length, 1);
  first.stream?.finish();
  assert.equal(second.stream?.connection, connector.at(0));
  assert.equal(circuit.pending, 0);
});

test("a pool without a connection opens one although others have used up the limit", () => {
  const { connector, open, circuit } = setUp("http1", {}, { maxConnections: 1 });
  circuit.tryConnection();
  const waiter = open();
  connector.at(0).succeed();
  assert.notEqual(waiter.stream, undefined);
});

test("a failed HTTP/2 connection fails all that waited for it, with the reason", () => {
  const { connector, open, circuit, pool } = setUp("http2");
  const waiters = [open(), open(), open()];
  connector.at(0).fail("tls", "the peer is spiffe://a, expected spiffe://b");
  assert.deepEqual(
    waiters.map(({ failure }) => failure),
    ["tls", "tls", "tls"],
  );
  assert.match(waiters[0]?.detail ?? "", /expected spiffe:\/\/b/);
  assert.equal(pool.isEmpty, true);
  assert.equal(circuit.connections, 0);
});

test("a failed HTTP/1 connection fails one waiter while others can still be served", () => {
  const { connector, open } = setUp("http1");
  const [one, two] = [open(), open()];
  connector.at(0).fail();
  assert.deepEqual([one.failure, two.failure], ["connect-failure", undefined]);
  connector.at(1).succeed();
  assert.notEqual(two.stream, undefined);
});

test("a waiter that retries at once from its failure is not lost", () => {
  const { connector, pool } = setUp("http2");
  const again = new RecordingWaiter();
  pool.open(deafHandler, {
    onReady: () => assert.fail("must not be ready"),
    onFailure: () => void pool.open(deafHandler, again),
  });
  connector.at(0).fail();
  connector.at(1).succeed();
  assert.notEqual(again.stream, undefined);
});

test("a cancelled waiter gives its place back and hears nothing", () => {
  const { connector, pool, circuit } = setUp("http1", {}, { maxPendingRequests: 1 });
  const waiter = new RecordingWaiter();
  const ticket = pool.open(deafHandler, waiter);
  ticket.cancel();
  ticket.cancel();
  assert.equal(circuit.pending, 0);
  connector.at(0).succeed();
  assert.equal(waiter.isAnswered, false);
});

test("an idle connection is closed after the idle time, a busy one is not", () => {
  const { connector, open, clock, pool } = setUp("http2", { idleTimeoutMs: 1000 });
  const waiter = open();
  connector.at(0).succeed();
  clock.advance(5000);
  assert.equal(pool.connectionCount, 1);
  waiter.stream?.finish();
  clock.advance(900);
  assert.equal(pool.connectionCount, 1);
  clock.advance(700);
  assert.equal(pool.connectionCount, 0);
  assert.equal(clock.pendingTimers, 0);
});

test("a connection is not used when the server is about to close it", () => {
  const { connector, open, clock } = setUp("http1");
  const first = open();
  connector.at(0).succeed();
  connector.at(0).keepAliveTimeoutMs = 5000;
  first.stream?.finish();
  clock.advance(3900);
  const second = open();
  assert.equal(second.stream?.connection, connector.at(0));
  second.stream?.finish();
  clock.advance(4100);
  open();
  assert.equal(connector.attempts.length, 2);
  assert.equal(connector.at(0).isClosed, true);
});

test("a connection takes no new streams after its longest time or its number of requests", () => {
  const aged = setUp("http2", { maxConnectionDurationMs: 1000 });
  aged.open();
  aged.connector.at(0).succeed();
  aged.clock.advance(1500);
  aged.open();
  assert.equal(aged.connector.attempts.length, 2);

  const counted = setUp("http1", { maxRequestsPerConnection: 2 });
  const first = counted.open();
  counted.connector.at(0).succeed();
  first.stream?.finish();
  const second = counted.open();
  assert.equal(second.stream?.connection, counted.connector.at(0));
  second.stream?.finish();
  assert.equal(counted.pool.connectionCount, 0);
  counted.open();
  assert.equal(counted.connector.attempts.length, 2);
});

test("a connection drains before the peer's certificate ends", () => {
  const { connector, open, clock } = setUp("http2");
  open();
  connector.at(0).validUntilMs = clock.wallMs() + 3_600_000;
  connector.at(0).succeed();
  clock.advance(3_500_000);
  assert.equal(connector.at(0).isDraining, false);
  clock.advance(80_000);
  assert.equal(connector.at(0).isDraining, true);
});

test("a new certificate drains what is open and gives the waiters connections with the new one", () => {
  const { connector, open, pool } = setUp("http2");
  const old = open();
  connector.at(0).succeed();
  pool.retarget({ ...pool.target, timeoutMs: 77 });
  const young = open();
  assert.equal(connector.at(1).target.timeoutMs, 77);
  connector.at(1).succeed();
  assert.equal(young.stream?.connection, connector.at(1));
  assert.equal(connector.at(0).isClosed, false);
  old.stream?.finish();
  assert.equal(connector.at(0).isClosed, true);
});

test("a retarget while connecting gives the connection up and asks again", () => {
  const { connector, open, pool } = setUp("http2");
  const waiter = open();
  pool.retarget({ ...pool.target, timeoutMs: 77 });
  assert.equal(connector.at(0).isCancelled, true);
  connector.at(1).succeed();
  assert.equal(waiter.stream?.connection, connector.at(1));
});

test("a closed pool serves those that wait, and then ends", () => {
  const { connector, open, pool } = setUp("http1");
  const waiter = open();
  pool.close();
  connector.at(0).succeed();
  assert.notEqual(waiter.stream, undefined);
  waiter.stream?.finish();
  assert.equal(pool.isEmpty, true);
});

function choose<T>(list: readonly T[], pick: number): T | undefined {
  return list[pick % Math.max(1, list.length)];
}

test("property: limits hold, each waiter is answered exactly once, and counters end at zero", () => {
  const action = fc.record({
    kind: fc.constantFrom(
      "open",
      "open",
      "open",
      "up",
      "up",
      "fail",
      "finish",
      "finish",
      "goAway",
      "lose",
      "cancel",
      "retarget",
    ),
    pick: fc.nat(1000),
  });
  fc.assert(
    fc.property(
      fc.constantFrom<"http1" | "http2" | "auto">("http1", "http2", "auto"),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(action, { maxLength: 120 }),
      (protocol, maxConnections, maxPendingRequests, actions) => {
        const { connector, circuit, pool, clock } = setUp(
          protocol,
          { idleTimeoutMs: 1000, maxRequestsPerConnection: 7 },
          { maxConnections, maxPendingRequests },
          3,
        );
        const waiters: { waiter: RecordingWaiter; ticket: OpenTicket; isCancelled: boolean }[] = [];
        const decided = new Set<object>();
        const connecting = (): typeof connector.attempts =>
          connector.attempts.filter((one) => !decided.has(one) && !one.isCancelled);
        const step = (kind: string, pick: number): void => {
          const live = connector.attempts.filter((one) => decided.has(one) && !one.isClosed);
          if (kind === "open") {
            const waiter = new RecordingWaiter(pick % 3 === 0 ? "proven" : pick % 7 === 0 ? "fresh" : "none");
            waiters.push({ waiter, ticket: pool.open(deafHandler, waiter), isCancelled: false });
          } else if (kind === "up" || kind === "fail") {
            const one = choose(connecting(), pick);
            if (one === undefined) return;
            decided.add(one);
            if (kind === "up") one.succeed();
            else {
              one.isClosed = true;
              one.fail();
            }
          } else if (kind === "finish") {
            const one = choose(live, pick);
            for (const stream of one?.streams ?? []) {
              stream.finish();
              break;
            }
          } else if (kind === "goAway") choose(live, pick)?.goAway();
          else if (kind === "lose") choose(live, pick)?.peerCloses();
          else if (kind === "retarget") pool.retarget(pool.target);
          else {
            const one = choose(waiters, pick);
            if (one === undefined || one.waiter.isAnswered) return;
            one.ticket.cancel();
            one.isCancelled = true;
          }
          clock.advance(pick % 5 === 0 ? 200 : 20);
        };
        for (const { kind, pick } of actions) {
          step(kind, pick);
          const usable =
            connecting().length + connector.attempts.filter((one) => decided.has(one) && one.isAvailable).length;
          assert.ok(usable <= Math.max(1, maxConnections), `${usable} connections of ${maxConnections}`);
          assert.ok(circuit.pending <= maxPendingRequests);
          assert.equal(circuit.pending, pool.waitingCount);
          assert.equal(circuit.connections, pool.connectionCount);
        }
        for (let i = 0; i < 2000 && pool.waitingCount > 0; i++) {
          step("up", 0);
          for (const one of connector.attempts) for (const stream of Array.from(one.streams)) stream.finish();
        }
        for (const { waiter, isCancelled } of waiters) {
          assert.equal(waiter.isAnswered, !isCancelled, "a waiter was lost, or answered after its cancel");
        }
        for (const one of connector.attempts) {
          if (!decided.has(one) && !one.isCancelled) {
            decided.add(one);
            one.succeed();
          }
          for (const stream of Array.from(one.streams)) stream.finish();
          if (decided.has(one)) one.lose();
        }
        assert.equal(circuit.connections, 0);
        assert.equal(circuit.pending, 0);
      },
    ),
    { numRuns: 300 },
  );
});

/** Opens, answers and frees one HTTP/1 stream on a connection of its own. */
function useOnce({ connector, open }: Setup, care: Care = "none"): FakeConnection {
  const before = connector.attempts.length;
  const waiter = open(care);
  if (connector.attempts.length > before) connector.at(before).succeed();
  const connection = waiter.stream?.connection;
  assert.ok(connection !== undefined, "the request got a connection");
  waiter.stream?.finish();
  return connection;
}

test("after one close for idleness no request takes a connection in the time before it, and some are kept to be watched", () => {
  const setup = setUp("http1");
  const { connector, clock, open } = setup;
  const waiters = Array.from({ length: 6 }, () => open());
  for (let n = 0; n < 6; n++) connector.at(n).succeed();
  for (const { stream } of waiters) stream?.finish();
  clock.advance(1000);
  connector.at(0).peerCloses();
  clock.advance(400);
  const watched = connector.attempts.filter(({ isClosed }) => !isClosed);
  assert.equal(watched.length, 3);
  for (const one of watched) one.peerCloses();
  const fresh = useOnce(setup);
  assert.equal(fresh, connector.at(6));
  clock.advance(740);
  assert.equal(useOnce(setup), fresh);
  clock.advance(760);
  assert.notEqual(useOnce(setup), fresh);
});

test("what was learned goes again when the watched connections outlive it", () => {
  const setup = setUp("http1");
  const { connector, clock, open } = setup;
  const waiters = Array.from({ length: 5 }, () => open());
  for (let n = 0; n < 5; n++) connector.at(n).succeed();
  for (const { stream } of waiters) stream?.finish();
  clock.advance(1000);
  connector.at(4).peerCloses();
  clock.advance(4000);
  useOnce(setup);
  assert.equal(connector.attempts.length, 5);
});

test("a request that must not be lost takes a new connection while nobody knows whether an idle one lasts", () => {
  const setup = setUp("http1");
  const { connector, clock } = setup;
  const first = useOnce(setup);
  clock.advance(1000);
  const second = useOnce(setup, "proven");
  assert.notEqual(second, first);
  clock.advance(900);
  assert.equal(useOnce(setup, "proven"), second, "the first has been open and idle for almost two seconds");
  assert.equal(useOnce(setup), second);
  assert.equal(connector.attempts.length, 2);
});

test("of the requests that must not be lost one at a time goes where no connection has been before", () => {
  const { connector, open } = setUp("http1");
  const waiters = [open(), open(), open()];
  for (let n = 0; n < 3; n++) connector.at(n).succeed();
  for (const { stream } of waiters) stream?.finish();
  const careful = Array.from({ length: 3 }, () => open("proven"));
  assert.equal(careful[0]?.stream?.connection, connector.at(2));
  assert.equal(connector.attempts.length, 5, "the other two get new connections");
  for (let n = 3; n < 5; n++) connector.at(n).succeed();
  careful[0]?.stream?.finish();
  const after = [open("proven"), open("proven")];
  assert.deepEqual(
    after.map(({ stream }) => stream?.connection),
    [connector.at(2), connector.at(1)],
    "one tries a third request, and the second has been shown to be served",
  );
});

test("a peer that closes after N requests without a word is given N", () => {
  const setup = setUp("http1");
  const { clock } = setup;
  for (let round = 0; round < 2; round++) {
    let connection = useOnce(setup);
    for (let i = 0; i < 4; i++) connection = useOnce(setup);
    connection.peerCloses();
    clock.advance(2000);
  }
  for (let i = 0; i < 5; i++) useOnce(setup);
  assert.equal(setup.connector.attempts.length, 3);
  assert.equal(setup.connector.at(2).isClosed, true, "it was told with the fifth");
});

test("where the cluster's connections are used up a doubtful one is better than none, but not one that is sure to end", () => {
  const doubtful = setUp("http1", {}, { maxConnections: 1 });
  const only = useOnce(doubtful);
  doubtful.clock.advance(5000);
  assert.equal(useOnce(doubtful, "proven"), only);
  const ending = setUp("http1", {}, { maxConnections: 1 });
  const first = useOnce(ending);
  first.keepAliveTimeoutMs = 5000;
  ending.clock.advance(5000);
  assert.notEqual(useOnce(ending, "fresh"), first);
  assert.equal(first.isClosed, true);
});

test("a request that was lost once gets a connection that nothing was sent on, in HTTP/2 together with others like it", () => {
  const setup = setUp("http1");
  const first = useOnce(setup);
  assert.notEqual(useOnce(setup, "fresh"), first);
  const { connector, open } = setUp("http2");
  open().stream?.finish();
  connector.at(0).succeed();
  connector.at(0).goAway();
  const again = Array.from({ length: 10 }, () => open("fresh"));
  connector.at(1).succeed();
  assert.ok(again.every(({ stream }) => stream?.connection === connector.at(1)));
});

test("a request that must not be lost looks twice at a connection that was idle: a FIN may have come", () => {
  const looks: (() => void)[] = [];
  const setup = setUp("http1", {}, {}, 100, (look) => void looks.push(look));
  const { connector, clock, open } = setup;
  const first = useOnce(setup);
  clock.advance(20);
  const waiter = open("proven");
  assert.equal(waiter.isAnswered, false);
  first.peerCloses();
  looks[0]?.();
  connector.at(1).succeed();
  assert.equal(waiter.stream?.connection, connector.at(1));
});

test("a request that must not be lost leaves alone a connection whose answer was long on its way, and takes an older one", () => {
  const setup = setUp("http1");
  const { connector, clock, open } = setup;
  const [slow, quick, teacher] = [open(), open(), open()];
  for (let n = 0; n < 3; n++) connector.at(n).succeed();
  teacher.stream?.finish();
  clock.advance(1000);
  connector.at(2).peerCloses();
  quick.stream?.finish();
  const first = open();
  assert.equal(first.stream?.connection, connector.at(1));
  first.stream?.finish();
  clock.advance(20);
  slow.stream?.finish();
  assert.equal(open("proven").stream?.connection, connector.at(1), "the other may have been idle for 1,020 ms");
  assert.equal(open().stream?.connection, connector.at(0));
});

test("an HTTP/2 connection that has just taken a stream after idling is as doubtful for others as it was before", () => {
  const { connector, clock, open } = setUp("http2");
  open().stream?.finish();
  connector.at(0).succeed();
  connector.at(0).streams.forEach((stream) => stream.finish());
  clock.advance(1000);
  assert.equal(open().stream?.connection, connector.at(0));
  clock.advance(5);
  const [again, careful] = [open("fresh"), open("proven")];
  assert.equal(connector.attempts.length, 2);
  connector.at(1).succeed();
  assert.equal(again.stream?.connection, connector.at(1));
  assert.equal(careful.stream?.connection, connector.at(1));
  assert.equal(open("proven").stream?.connection, connector.at(1), "one that was never idle takes all");
  connector.at(1).goAway();
  clock.advance(300);
  assert.equal(open("proven").stream?.connection, connector.at(0), "its peer would have closed it by now");
});
