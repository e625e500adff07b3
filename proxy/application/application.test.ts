// Probes and metrics of applications on real sockets, asked through the metrics port's own server.
import assert from "node:assert/strict";
import http, { type RequestListener } from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net, { type AddressInfo, type Server } from "node:net";
import { after, describe, it, test } from "node:test";
import { parseApplicationMetrics, parseApplicationProbes } from "#config/kubernetes/application.ts";
import { HttpEndpoint } from "#proxy/admin/http-endpoint.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import { makeProbeRoutes } from "./probe-routes.ts";
import { readApplicationMetrics } from "./merged-metrics.ts";

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port; // a TCP server's address is never text
}

const serve = (listener: RequestListener): Promise<number> => listen(http.createServer(listener));

/** What the kubelet would get for a probe. */
async function probe(
  value: object,
  init?: RequestInit,
  path = "app/readiness",
): Promise<{ status: number; text: string }> {
  const probes = parseApplicationProbes(JSON.stringify({ "app/readiness": value }));
  const endpoint = new HttpEndpoint({}, makeProbeRoutes({ addresses: ["127.0.0.1"], probes, metrics: undefined }));
  const port = await endpoint.listen({ address: "127.0.0.1", port: 0 });
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/probes/${path}`, { ...init, redirect: "manual" });
    return { status: answer.status, text: await answer.text() };
  } finally {
    endpoint.close();
  }
}

async function closedPort(): Promise<number> {
  const server = net.createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a preStop hook that waits is answered after a while", async () => {
  const endpoint = new HttpEndpoint(makeProbeRoutes({ addresses: [], probes: new Map(), metrics: undefined }, 20));
  const port = await endpoint.listen({ address: "127.0.0.1", port: 0 });
  const begin = performance.now();
  const answer = await fetch(`http://127.0.0.1:${port}/probes/wait-for-removal`);
  endpoint.close();
  assert.equal(answer.status, 200);
  assert.ok(performance.now() - begin >= 15);
});

describe("a probe of the application", () => {
  it("asks with the probe's own path and headers, from the source that the packet filter lets through", async () => {
    let seen: http.IncomingMessage | undefined;
    let source: string | undefined;
    const port = await serve((request, response) => {
      seen = request;
      source = request.socket.remoteAddress;
      response.end("its own words");
    });
    const headers = [
      ["Host", "shop.example"],
      ["X-Probe", "a"],
      ["x-probe", "b"],
      ["Accept", ""],
    ];
    const value = { kind: "httpGet", port, timeoutMs: 5000, path: "/healthz?full=1", headers };
    const answer = await probe(value, { headers: { "user-agent": "kube-probe/1.36" } });
    assert.deepEqual(answer, { status: 200, text: "ok\n" });
    assert.equal(seen?.url, "/healthz?full=1");
    assert.equal(seen?.headers.host, "shop.example");
    assert.equal(seen?.headers["x-probe"], "a, b");
    assert.equal(seen?.headers.accept, undefined);
    assert.equal(seen?.headers["user-agent"], "kube-probe/1.36");
    assert.equal(source, process.platform === "linux" ? "127.0.0.6" : "127.0.0.1");
  });

  it("gives the application's failure, and 503 when it is dead or silent", async () => {
    const port = await serve((_request, response) => {
      response.statusCode = 500;
      response.end("broken");
    });
    assert.deepEqual(await probe({ kind: "httpGet", port, timeoutMs: 5000, path: "/" }), {
      status: 500,
      text: "The application answered 500\n",
    });
    const dead = await probe({ kind: "httpGet", port: await closedPort(), timeoutMs: 5000, path: "/" });
    assert.equal(dead.status, 503);
    assert.match(dead.text, /fails its httpGet probe: connect ECONNREFUSED/);
    const silent = await listen(net.createServer(() => undefined));
    const late = await probe({ kind: "httpGet", port: silent, timeoutMs: 20, path: "/" });
    assert.equal(late.status, 503);
    assert.match(late.text, /did not answer within 20 ms/);
  });

  it("fails where the application changes the protocol instead of answering", async () => {
    const answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    const port = await listen(net.createServer((socket) => socket.once("data", () => socket.write(answer))));
    const { status, text } = await probe({ kind: "httpGet", port, timeoutMs: 5000, path: "/" });
    assert.deepEqual([status, text], [503, "The application answered 101\n"]);
  });

  it("follows redirects on the pod, takes one that leaves it as good, and stops after ten", async () => {
    let other = 0;
    const port = await serve((request, response) => {
      const target = {
        "/away": "http://elsewhere.example/",
        "/here": "/down",
        "/other": `http://127.0.0.1:${other}/up`,
      };
      const location = target[request.url as keyof typeof target] ?? (request.url === "/loop" ? "/loop" : undefined);
      if (location !== undefined) response.writeHead(302, { location });
      else response.statusCode = 418;
      response.end();
    });
    other = await serve((_request, response) => {
      response.statusCode = 419;
      response.end();
    });
    const ask = (path: string) => probe({ kind: "httpGet", port, timeoutMs: 5000, path });
    assert.equal((await ask("/here")).status, 418);
    assert.equal((await ask("/other")).status, 419);
    assert.equal((await ask("/away")).status, 200);
    assert.match((await ask("/loop")).text, /stopped after 10 redirects/);
  });

  it("speaks HTTPS to any certificate, HTTP/2 when the application wants it", async () => {
    const { keyPem, chainPem } = await (await makeAuthority()).issue({ dns: ["wrong.example"] });
    const tls = { key: keyPem, cert: chainPem };
    const versions: string[] = [];
    const one = await listen(
      https.createServer(tls, (request, response) => {
        versions.push(request.httpVersion);
        response.end();
      }),
    );
    const two = await listen(
      http2.createSecureServer(tls, (request, response) => {
        versions.push(request.httpVersion);
        response.end();
      }),
    );
    const ask = (port: number) => probe({ kind: "httpGet", port, timeoutMs: 5000, path: "/", scheme: "https" });
    assert.equal((await ask(one)).status, 200);
    assert.equal((await ask(two)).status, 200);
    assert.deepEqual(versions, ["1.1", "2.0"]);
  });

  it("connects for tcpSocket, and fails when nobody listens", async () => {
    const port = await listen(net.createServer((socket) => socket.destroy()));
    assert.equal((await probe({ kind: "tcpSocket", port, timeoutMs: 5000 })).status, 200);
    assert.equal((await probe({ kind: "tcpSocket", port: await closedPort(), timeoutMs: 5000 })).status, 503);
  });

  it("asks a gRPC service whether it serves", async () => {
    const { Server: GrpcServer, ServerCredentials } = await import("@grpc/grpc-js");
    const pass = (bytes: Buffer): Buffer => bytes;
    const server = new GrpcServer();
    const codec = {
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    };
    const path = "/grpc.health.v1.Health/Check";
    server.addService(
      { Check: { path, requestStream: false, responseStream: false, ...codec } },
      {
        Check: (call: { request: Buffer }, callback: (error: object | null, answer?: Buffer) => void) => {
          const name = call.request.subarray(2).toString();
          if (name === "unknown") callback({ code: 5, details: "no such service" });
          else callback(null, Buffer.from([0x08, name === "shop" ? 1 : 2]));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    closers.push(() => server.forceShutdown());
    const ask = (service: string) => probe({ kind: "grpc", port, timeoutMs: 5000, service });
    assert.equal((await ask("shop")).status, 200);
    assert.match((await ask("cart")).text, /not serving \(status 2\)/);
    assert.match((await ask("unknown")).text, /grpc-status 5 \(no such service\)/);
    assert.equal((await probe({ kind: "grpc", port: await closedPort(), timeoutMs: 5000, service: "" })).status, 503);
    const silent = await listen(net.createServer(() => undefined));
    assert.match((await probe({ kind: "grpc", port: silent, timeoutMs: 20 })).text, /did not answer within 20 ms/);
  });

  it("takes any answer to a hook as good, and closes the connection where there is none", async () => {
    const port = await serve((_request, response) => {
      response.statusCode = 500;
      response.end();
    });
    const hook = { kind: "httpGet", timeoutMs: 0, path: "/", hookKey: "k" };
    const path = "k/app/readiness";
    assert.equal((await probe({ ...hook, port }, {}, path)).status, 200);
    await assert.rejects(probe({ ...hook, port: await closedPort() }, {}, path));
  });

  it("has a hook done for nobody who does not know its key, and does not say it", async () => {
    let asked = 0;
    const port = await serve((_request, response) => {
      asked++;
      response.end();
    });
    const hook = { kind: "httpGet", port, timeoutMs: 0, path: "/", hookKey: "secret" };
    for (const path of ["app/readiness", "/app/readiness", "wrong/app/readiness", "", "secret"]) {
      const { status, text } = await probe(hook, {}, path);
      assert.equal(status, 404, path);
      if (path !== "secret") assert.doesNotMatch(text, /secret/);
    }
    assert.equal(asked, 0);
  });

  it("refuses an environment that is not what the injector writes, and says where", () => {
    for (const [text, message] of [
      ["{", /HEDDLE_PROBES must be JSON/],
      ["[]", /HEDDLE_PROBES must be an object/],
      ['{"a/b":{"kind":"exec","port":1,"timeoutMs":1}}', /HEDDLE_PROBES\["a\/b"\]\.kind must be/],
      ['{"a/b":{"kind":"httpGet","port":0,"timeoutMs":1}}', /\.port must be a whole number from 1 to 65535/],
      ['{"a/b":{"kind":"httpGet","port":1,"timeoutMs":1,"path":"x"}}', /\.path must begin with/],
      ['{"a/b":{"kind":"httpGet","port":1,"timeoutMs":1,"path":"/","headers":[["a"]]}}', /\.headers must be pairs/],
    ] as const)
      assert.throws(() => parseApplicationProbes(text), message);
    assert.throws(() => parseApplicationMetrics('{"port":1}'), /HEDDLE_APP_METRICS\.path/);
  });
});

describe("the application's metrics", () => {
  const read = async (port: number, accept?: string) =>
    readApplicationMetrics(
      { scheme: "http", port, path: "/metrics" },
      { address: "127.0.0.1", accept, timeoutSeconds: "5" },
    );
  const page = (type: string, body: string, status = 200): Promise<number> =>
    serve((_request, response) => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    });

  it("stand behind ours, in the format that the application chose", async () => {
    const text = '# TYPE a counter\na{b="c\\"}",d="{"} 1 1700000000000\na_sum NaN\n\na 2';
    const plain = await read(await page("text/plain; version=0.0.4", text));
    assert.equal(plain.format, "text");
    assert.match(plain.text, /heddle_application_metrics_up 1\n# TYPE a counter\na\{.*\na_sum NaN\na 2\n$/);
    const open = 'a_total{x="y"} 1 # {trace_id="1"} 0.5\n# EOF\n';
    const rich = await read(await page("application/openmetrics-text; version=1.0.0", open));
    assert.equal(rich.format, "openmetrics");
    assert.ok(rich.text.endsWith('a_total{x="y"} 1 # {trace_id="1"} 0.5\n'));
  });

  it("are asked for in text alone, whatever Prometheus takes", async () => {
    let accept: string | undefined;
    const port = await serve((request, response) => {
      accept = request.headers.accept;
      response.end("a 1\n");
    });
    await read(
      port,
      "application/vnd.google.protobuf;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1",
    );
    assert.equal(accept, "application/openmetrics-text;version=1.0.0;q=0.6");
    await read(port);
    assert.equal(accept, "text/plain;version=0.0.4");
  });

  it("are left out, with the reason, when Prometheus could not read them", async () => {
    for (const [port, reason] of [
      [await page("text/html", "<html>"), /it is text\/html/],
      [await page("text/plain", "a 1\n<b>oops</b>\n"), /line 2 is no metric: "<b>oops<\/b>"/],
      [await page("text/plain", 'a{b="c 1\n'), /line 1 is no metric/],
      [await page("text/plain", "", 404), /it answered 404/],
      [await closedPort(), /ECONNREFUSED/],
    ] as const) {
      // One after the other: the page that fails is named by its reason.
      // oxlint-disable-next-line no-await-in-loop
      const { format, text } = await read(port);
      assert.equal(format, "text");
      assert.match(text, reason);
      assert.match(text, /^# The application's metrics .*\n# HELP .*\n# TYPE .*\nheddle_application_metrics_up 0\n$/);
    }
  });
});
