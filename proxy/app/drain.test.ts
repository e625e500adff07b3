// Drains on real sockets under load: nothing that a client has asked goes without its answer.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { after, before, describe, it } from "node:test";

import {
  bootstrapYaml,
  clusterYaml,
  httpListenerYaml,
  serveEcho,
  serveHttp,
  tcpListenerYaml,
  TestPlane,
} from "./testing/plane-of.ts";

interface Answer {
  readonly status: number;
  readonly isLast: boolean;
}

function get(port: number, agent: http.Agent, path = "/"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: "127.0.0.1", agent, path }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, isLast: response.headers.connection === "close" }),
      );
    });
    request.on("error", reject);
  });
}

describe("a drain", () => {
  let backend: Awaited<ReturnType<typeof serveHttp>>;
  let echo: Awaited<ReturnType<typeof serveEcho>>;
  const held: http.ServerResponse[] = [];
  const planes: TestPlane[] = [];

  before(async () => {
    backend = await serveHttp((request, response) => {
      if (request.url === "/held") held.push(response);
      else setTimeout(() => response.end("ok"), 2);
    });
    echo = await serveEcho();
  });

  after(async () => {
    for (const { plane } of planes) await plane.drain(0);
    backend.close();
    echo.close();
  });

  async function start(drainTimeMs = 5000): Promise<TestPlane> {
    const test = new TestPlane(drainTimeMs);
    planes.push(test);
    await test.apply(config(["web", "other"]));
    return test;
  }

  function config(listeners: readonly string[], settings = ""): string {
    return bootstrapYaml(
      [
        ...listeners.map((name) => httpListenerYaml(name, "backend", name === "web" ? settings : "")),
        tcpListenerYaml("tcp", "          cluster: echo"),
      ],
      [clusterYaml("backend", backend.port), clusterYaml("echo", echo.port)],
    );
  }

  async function until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  it("answers every HTTP/1 request of busy clients, tells them to go, and ends early", async () => {
    const test = await start(20_000);
    const port = test.port("web");
    const results: Answer[] = [];
    let isDraining = false;
    const client = async (): Promise<void> => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      let answer: Answer;
      do {
        answer = await get(port, agent);
        results.push(answer);
      } while (!answer.isLast);
      assert.ok(isDraining);
      agent.destroy();
    };
    const clients = Array.from({ length: 20 }, client);
    await until(() => results.length > 100);
    isDraining = true;
    const startMs = performance.now();
    await Promise.all([test.plane.drain(20_000), ...clients]);
    assert.equal(results.filter(({ status }) => status !== 200).length, 0);
    assert.equal(results.filter(({ isLast }) => isLast).length, 20);
    assert.ok(performance.now() - startMs < 10_000, "it waited for its time although nothing ran");
    await assert.rejects(get(port, new http.Agent()), /ECONNREFUSED/);
  });

  it("answers every HTTP/2 request that was sent before the second GOAWAY", async () => {
    const test = await start(20_000);
    const session = http2.connect(`http://127.0.0.1:${test.port("web")}`);
    let goaways = 0;
    session.on("goaway", () => goaways++);
    let answered = 0;
    let sent = 0;
    const failures: unknown[] = [];
    const send = (): void => {
      if (session.closed || session.destroyed || goaways > 0) return;
      sent++;
      const stream = session.request({ ":path": "/" });
      stream.on("error", (error) => failures.push(error));
      stream.on("response", (headers) => {
        assert.equal(headers[":status"], 200);
        answered++;
        send();
      });
      stream.resume();
    };
    for (let i = 0; i < 20; i++) send();
    await until(() => answered > 100);
    const closed = once(session, "close");
    await Promise.all([test.plane.drain(20_000), closed]);
    assert.deepEqual(failures, []);
    assert.equal(answered, sent);
    assert.ok(goaways > 0);
  });

  it("waits for the exchange that runs, and for an opaque session until its time is up", async () => {
    const test = await start();
    const answer = get(test.port("web"), new http.Agent(), "/held");
    await until(() => held.length === 1);
    const session = net.connect(test.port("tcp"), "127.0.0.1");
    session.write("x");
    await once(session, "data");
    let isOver = false;
    const drained = test.plane.drain(20_000).then(() => (isOver = true));
    session.write("y");
    await once(session, "data");
    session.end();
    await once(session, "close");
    assert.equal(isOver, false);
    held.pop()?.end("at last");
    assert.equal((await answer).status, 200);
    await drained;
  });

  it("of a removed listener leaves the others alone, and cuts no exchange of its own", async () => {
    const test = await start(50);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await get(test.port("other"), agent)).isLast, false);
    const running = get(test.port("web"), new http.Agent({ keepAlive: true }), "/held");
    await until(() => held.length === 1);
    const session = net.connect(test.port("tcp"), "127.0.0.1");
    session.write("x");
    await once(session, "data");
    const [port, tcpPort] = [test.port("web"), test.port("tcp")];
    const sessionOver = new Promise((resolve) => session.on("error", () => undefined).once("close", resolve));
    await test.apply(bootstrapYaml([httpListenerYaml("other", "backend")], [clusterYaml("backend", backend.port)]));
    await assert.rejects(get(port, new http.Agent()), /ECONNREFUSED/);
    await assert.rejects(once(net.connect(tcpPort, "127.0.0.1"), "connect"), /ECONNREFUSED/);
    await sessionOver;
    held.pop()?.end();
    assert.deepEqual(await running, { status: 200, isLast: true });
    assert.deepEqual(await get(test.port("other"), agent), { status: 200, isLast: false });
    agent.destroy();
  });

  it("of a listener whose connections were accepted under other rules tells only its own clients to go", async () => {
    const test = await start();
    const agents = ["web", "other"].map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }));
    const [web = new http.Agent(), other = new http.Agent()] = agents;
    const port = test.port("web");
    await Promise.all([get(port, web), get(test.port("other"), other)]);
    await test.apply(config(["web", "other"], "          common_http_protocol_options: { idle_timeout: 60s }"));
    assert.equal(test.port("web"), port);
    assert.deepEqual(await get(port, web), { status: 200, isLast: true });
    assert.deepEqual(await get(test.port("other"), other), { status: 200, isLast: false });
    assert.deepEqual(await get(port, web), { status: 200, isLast: false });
    for (const agent of agents) agent.destroy();
  });
});
