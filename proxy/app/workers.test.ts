// A whole proxy with two data threads: one port, one limit, one dead thread, one process per address.
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { silentLog } from "#lib/log.ts";

import { ProxyApp } from "./proxy-app.ts";
import { bootstrapYaml, clusterYaml, httpListenerYaml, parseBootstrap, serveHttp } from "./testing/plane-of.ts";

const RATE_LIMIT = `          - name: limit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: { max_tokens: 30, tokens_per_fill: 1, fill_interval: 3600s }
              filter_enabled: { default_value: { numerator: 100 } }
              filter_enforced: { default_value: { numerator: 100 } }
`;

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The status of one request on a connection of its own. */
function get(port: number, target = "/"): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: "127.0.0.1", path: target, agent: new http.Agent() }, (response) => {
        let body = "";
        response.on("data", (bytes: Buffer) => (body += bytes.toString()));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      })
      .on("error", reject);
  });
}

describe("a proxy with two data threads", () => {
  const lockFolder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-locks-"));
  let backend: Awaited<ReturnType<typeof serveHttp>>;
  let text = "";
  const ports = { open: 0, limited: 0, admin: 0 };
  let app: ProxyApp;

  function makeApp(bootstrap: string): ProxyApp {
    return new ProxyApp({
      bootstrap: parseBootstrap(bootstrap),
      concurrency: 2,
      log: silentLog,
      threshold: { level: "error" },
      workerEntry: new URL("../worker/entry.ts", import.meta.url),
      allowUnsupported: new Set(),
      lockFolder,
    });
  }

  before(async () => {
    backend = await serveHttp((_request, response) => response.end("ok"));
    for (const name of ["open", "limited", "admin"] as const) ports[name] = await freePort();
    const listeners = [httpListenerYaml("open", "backend"), httpListenerYaml("limited", "backend")]
      .map((yaml, index) => yaml.replace("port_value: 0", `port_value: ${index === 0 ? ports.open : ports.limited}`))
      .map((yaml, index) =>
        index === 0 ? yaml : yaml.replace("          - name: router", `${RATE_LIMIT}          - name: router`),
      );
    text = `${bootstrapYaml(listeners, [clusterYaml("backend", backend.port)])}
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${ports.admin} } } }
`;
    app = makeApp(text);
    await app.start();
  });

  after(async () => {
    await app.drain();
    backend.close();
    fs.rmSync(lockFolder, { recursive: true });
  });

  async function requests(): Promise<number> {
    const { body } = await get(ports.admin, "/metrics");
    let sum = 0;
    for (const found of body.matchAll(/^heddle_requests_total\{.*\} (\d+)$/gm)) sum += Number(found[1]);
    return sum;
  }

  async function until(isTrue: () => Promise<boolean>): Promise<void> {
    while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  it("refuses a second start on the same address", async () => {
    const second = makeApp(text.replace(/admin: .*/, ""));
    await assert.rejects(
      second.start(),
      new RegExp(
        `Cannot open listener "open": Cannot listen on 127\\.0\\.0\\.1:${ports.open}: process ${process.pid} listens`,
      ),
    );
    await second.drain();
  });

  it("adds up the metrics of both", async () => {
    const earlier = await requests();
    const answers = await Promise.all(Array.from({ length: 64 }, () => get(ports.open)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 64);
    await until(async () => (await requests()) - earlier === 64);
  });

  it("has one bucket for both", async () => {
    const answers = await Promise.all(Array.from({ length: 80 }, () => get(ports.limited)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 30);
    assert.equal(answers.filter(({ status }) => status === 429).length, 50);
  });

  it("replaces a dead thread with its configuration, and is not ready after a second death", async () => {
    await app.killWorker(0);
    assert.equal((await get(ports.admin, "/ready")).status, 200);
    // The survivor alone serves until then: every answer must be good, and the limit still spent.
    await until(async () => {
      const { body } = await get(ports.admin, "/metrics");
      return body.includes("heddle_worker_deaths 1");
    });
    const answers = await Promise.all(Array.from({ length: 32 }, () => get(ports.open)));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal((await get(ports.limited)).status, 429);
    await app.killWorker(1);
    const ready = await get(ports.admin, "/ready");
    assert.equal(ready.status, 503);
    assert.match(ready.body, /data threads died 2 times within a minute/);
  });
});
