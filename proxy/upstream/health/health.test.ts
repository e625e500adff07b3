import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { after, test } from "node:test";
import type { Cluster, HealthCheck } from "#config/model/cluster.ts";
import { silentLog } from "#lib/log.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { assignmentOf, clusterOf, endpointOf, endpointsOf, OUTLIER } from "../testing/cluster-of.ts";
import { HealthRunner } from "./health-runner.ts";
import type { ProbeResult, ProbeTarget } from "./probe.ts";
import { makeStandardProbe } from "./standard-probes.ts";

const CHECK: HealthCheck = {
  timeoutMs: 30_000,
  intervalMs: 5000,
  jitterMs: 0,
  noTrafficIntervalMs: 60_000,
  unhealthyThreshold: 3,
  healthyThreshold: 2,
  check: { kind: "tcp" },
};
const HTTP: HealthCheck["check"] = {
  kind: "http",
  path: "/healthz",
  host: "",
  method: "GET",
  http2: false,
  expectedStatuses: [],
};
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

/** A runner whose probes answer what the test says. */
function setUp(count: number, overrides: Partial<HealthCheck> = {}, hasTraffic: () => boolean = () => true) {
  const clock = new FakeClock();
  const answers = new Map<string, ProbeResult | Error>();
  const told: string[] = [];
  const asked: number[] = [];
  const runner = new HealthRunner({
    clock,
    random: makeSeededRandom(1),
    log: silentLog,
    makeTls: () => undefined,
    hasTraffic,
    makeProbe: ({ address, port }) => ({
      async check() {
        asked.push(port);
        const answer = answers.get(address) ?? "healthy";
        if (answer instanceof Error) throw answer;
        return answer;
      },
      close: () => undefined,
    }),
    onHealth: (_cluster, address, health) => told.push(`${address} ${health}`),
    onForgotten: (_cluster, address) => told.push(`${address} forgotten`),
  });
  const cluster = clusterOf("c", { healthChecks: [{ ...CHECK, ...overrides }] });
  const apply = (endpoints = endpointsOf(count), outlier?: Cluster["outlier"]): void =>
    runner.apply([{ ...cluster, outlier }], new Map([["c", assignmentOf("c", endpoints)]]));
  const round = async (times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) {
      clock.advance(5000);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
  };
  return { clock, answers, told, asked, runner, apply, round };
}

test("the first result counts at once, later ones only in a row", async () => {
  const { answers, told, apply, round } = setUp(1);
  apply();
  await round();
  assert.deepEqual(told, ["10.0.0.0:80 healthy"]);
  answers.set("10.0.0.0", "failed");
  await round(2);
  answers.set("10.0.0.0", "healthy");
  await round();
  answers.set("10.0.0.0", new Error("ECONNREFUSED"));
  await round(2);
  assert.equal(told.length, 1);
  await round();
  assert.deepEqual(told.slice(1), ["10.0.0.0:80 unhealthy"]);
  answers.set("10.0.0.0", "healthy");
  await round();
  assert.equal(told.length, 2);
  await round();
  assert.deepEqual(told.slice(2), ["10.0.0.0:80 healthy"]);
});

test("the port of an endpoint for checks is asked, and the other one as soon as that is its port", async () => {
  const { asked, apply, round } = setUp(1);
  const [endpoint] = endpointsOf(1);
  assert.ok(endpoint);
  for (const healthCheckPort of [8081, 8082]) {
    apply([{ ...endpoint, healthCheckPort }]);
    await round();
  }
  apply([endpoint]);
  await round();
  assert.deepEqual(asked, [8081, 8082, 80]);
});

test("a clear refusal needs no threshold", async () => {
  const { answers, told, apply, round } = setUp(1);
  apply();
  await round();
  answers.set("10.0.0.0", "refused");
  await round();
  assert.deepEqual(told.slice(1), ["10.0.0.0:80 unhealthy"]);
});

test("an endpoint that says that it is degraded is so with the next answer, and well again with the one after", async () => {
  const { answers, told, apply, round } = setUp(1);
  apply();
  answers.set("10.0.0.0", "degraded");
  await round(2);
  answers.set("10.0.0.0", "healthy");
  await round();
  answers.set("10.0.0.0", "degraded");
  await round();
  answers.set("10.0.0.0", "refused");
  await round();
  const of = (health: string): string => `10.0.0.0:80 ${health}`;
  assert.deepEqual(told, ["degraded", "healthy", "degraded", "unhealthy"].map(of));
});

test("a new configuration leaves endpoints that stay alone, and ends checks of those that go", async () => {
  const { clock, told, runner, apply, round } = setUp(2);
  apply();
  await round();
  for (let i = 0; i < 20; i++) apply(endpointsOf(2).slice(0, 1));
  await round();
  assert.deepEqual(told.slice(2), ["10.0.0.1:80 forgotten"]);
  assert.equal(clock.pendingTimers, 1);
  runner.close();
  assert.equal(clock.pendingTimers, 0);
});

test("an outlier policy that comes later is told of the successes that end its ejections", async () => {
  const { told, apply, round } = setUp(1);
  apply();
  await round(2);
  assert.deepEqual(told, ["10.0.0.0:80 healthy"]);
  apply(endpointsOf(1), { ...OUTLIER, successfulHealthCheckUnejects: true });
  await round(2);
  assert.equal(told.length, 3);
  apply(endpointsOf(1), undefined);
  await round(2);
  assert.equal(told.length, 3);
});

test("an endpoint of a cluster without traffic is asked less often", async () => {
  const { clock, told, answers, apply, round } = setUp(
    1,
    { noTrafficIntervalMs: 60_000, unhealthyThreshold: 1 },
    () => false,
  );
  apply();
  await round();
  answers.set("10.0.0.0", "failed");
  await round(11);
  assert.deepEqual(told, ["10.0.0.0:80 healthy"]);
  await round(2);
  assert.deepEqual(told.slice(1), ["10.0.0.0:80 unhealthy"]);
  assert.equal(clock.pendingTimers, 1);
});

test("the first request to a cluster ends the long wait between checks", async () => {
  let hasTraffic = false;
  const { told, answers, apply, round } = setUp(
    1,
    { noTrafficIntervalMs: 60_000, unhealthyThreshold: 1 },
    () => hasTraffic,
  );
  apply();
  await round();
  answers.set("10.0.0.0", "failed");
  await round(2);
  hasTraffic = true;
  await round();
  assert.deepEqual(told, ["10.0.0.0:80 healthy", "10.0.0.0:80 unhealthy"]);
});

test("after a failed check the next one comes at its own interval, and at the edge at another", async () => {
  const { told, answers, apply, round } = setUp(1, { unhealthyIntervalMs: 20_000, unhealthyEdgeIntervalMs: 10_000 });
  apply();
  await round();
  answers.set("10.0.0.0", "failed");
  // The first failure after 5 s, then two more at 10 s each.
  await round(4);
  assert.equal(told.length, 1);
  await round();
  assert.deepEqual(told.slice(1), ["10.0.0.0:80 unhealthy"]);
  answers.set("10.0.0.0", "healthy");
  await round(3);
  assert.equal(told.length, 2);
  await round(2);
  assert.deepEqual(told.slice(2), ["10.0.0.0:80 healthy"]);
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

function targetOf(port: number, check: HealthCheck["check"]): ProbeTarget {
  const endpoint = endpointOf("127.0.0.1", port);
  return { cluster: clusterOf("c"), endpoint, check: { ...CHECK, check }, address: "127.0.0.1", port, tls: undefined };
}

test("an HTTP probe tells an expected status from another, and from no answer", async () => {
  let status = 200;
  const server = createHttpServer((request, response) => {
    response.statusCode = request.url === "/healthz" ? status : 404;
    response.end();
  });
  const port = await listen(server);
  const probe = makeStandardProbe(targetOf(port, HTTP));
  assert.equal(await probe.check(), "healthy");
  status = 503;
  assert.equal(await probe.check(), "refused");
  const wide = makeStandardProbe(targetOf(port, { ...HTTP, expectedStatuses: [{ start: 500, end: 600 }] }));
  assert.equal(await wide.check(), "healthy");
  wide.close();
  probe.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(probe.check(), /ECONNREFUSED/);
});

test("an HTTP probe takes the field x-envoy-degraded for a degraded endpoint", async () => {
  const server = createHttpServer((_request, response) => response.writeHead(200, { "x-envoy-degraded": "" }).end());
  const probe = makeStandardProbe(targetOf(await listen(server), HTTP));
  assert.equal(await probe.check(), "degraded");
  probe.close();
});

test("a TCP probe needs only somebody who listens", async () => {
  const server = createTcpServer((socket) => socket.destroy());
  const port = await listen(server);
  assert.equal(await makeStandardProbe(targetOf(port, { kind: "tcp" })).check(), "healthy");
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(makeStandardProbe(targetOf(port, { kind: "tcp" })).check(), /ECONNREFUSED/);
});

function pass(bytes: Buffer): Buffer {
  return bytes;
}

test("a gRPC probe reads the serving status of the service", async () => {
  const { Server: GrpcServer, ServerCredentials } = await import("@grpc/grpc-js");
  const server = new GrpcServer();
  server.addService(
    {
      Check: {
        path: "/grpc.health.v1.Health/Check",
        requestStream: false,
        responseStream: false,
        requestSerialize: pass,
        requestDeserialize: pass,
        responseSerialize: pass,
        responseDeserialize: pass,
      },
    },
    {
      Check: (call: { request: Buffer }, callback: (error: null, answer: Buffer) => void) => {
        const isKnown = call.request.equals(Buffer.from("\n\x04shop", "latin1"));
        callback(null, Buffer.from([0x08, isKnown ? 1 : 2]));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  closers.push(() => server.forceShutdown());
  for (const [serviceName, expected] of [
    ["shop", "healthy"],
    ["other", "refused"],
  ] as const) {
    const probe = makeStandardProbe(targetOf(port, { kind: "grpc", serviceName, authority: "" }));
    assert.equal(await probe.check(), expected);
    probe.close();
  }
});

test("a TCP check sends and waits for the parts of the answer, in order", async () => {
  const port = await listen(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (bytes: Buffer) => {
        if (bytes.toString() !== "PING") socket.end();
        else {
          socket.write("+PO");
          setImmediate(() => socket.write("NG ok"));
        }
      });
    }),
  );
  const hex = (text: string): string => Buffer.from(text).toString("hex");
  const check = (send: string, ...receive: readonly string[]): Promise<ProbeResult> =>
    makeStandardProbe(targetOf(port, { kind: "tcp", send: hex(send), receive: receive.map(hex) })).check();
  assert.equal(await check("PING", "+PONG", "ok"), "healthy");
  await assert.rejects(check("QUIT", "+PONG"), /it closed the connection/);
});

test("a retriable status is a failure, and no refusal", async () => {
  const port = await listen(createHttpServer((_request, response) => response.writeHead(503).end()));
  const retriableStatuses = [{ start: 500, end: 600 }];
  assert.equal(await makeStandardProbe(targetOf(port, { ...HTTP, retriableStatuses })).check(), "failed");
});
