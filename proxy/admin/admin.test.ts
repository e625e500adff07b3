// Every route of the admin port, asked over HTTP of a proxy that runs.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { silentLog, type LogThreshold } from "#lib/log.ts";
import { ProxyApp } from "#proxy/app/proxy-app.ts";
import {
  bootstrapYaml,
  clusterYaml,
  httpListenerYaml,
  parseBootstrap,
  serveHttp,
} from "#proxy/app/testing/plane-of.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";

describe("the admin port", () => {
  const lockFolder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-admin-"));
  const threshold: LogThreshold = { level: "info" };
  let backend: Awaited<ReturnType<typeof serveHttp>>;
  let app: ProxyApp;
  let text = "";
  let keyPem = "";

  function makeApp(bootstrap: string): ProxyApp {
    return new ProxyApp({
      bootstrap: parseBootstrap(bootstrap),
      concurrency: 1,
      log: silentLog,
      threshold,
      workerEntry: new URL("../worker/entry.ts", import.meta.url),
      allowUnsupported: new Set(),
      lockFolder,
    });
  }

  before(async () => {
    backend = await serveHttp((_request, response) => response.end("ok"));
    const own = await (await makeAuthority()).issue({ dns: ["shop"] });
    keyPem = own.keyPem;
    const indented = (pem: string): string => JSON.stringify(pem);
    const tls = `    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - { certificate_chain: { inline_string: ${indented(own.chainPem)} }, private_key: { inline_string: ${indented(own.keyPem)} } }
      filters:`;
    text = `${bootstrapYaml(
      [httpListenerYaml("web", "backend"), httpListenerYaml("secure", "backend").replace("    - filters:", tls)],
      [clusterYaml("backend", backend.port)],
    )}
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
`;
    app = makeApp(text);
    await app.start();
    const answer = await fetch(`http://127.0.0.1:${app.ports.get("web")}/hello`);
    assert.equal(await answer.text(), "ok");
  });

  after(async () => {
    await app.drain();
    backend.close();
    fs.rmSync(lockFolder, { recursive: true });
  });

  const ask = (route: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://127.0.0.1:${app.adminPort}${route}`, init);

  it("/ready says LIVE", async () => {
    const answer = await ask("/ready");
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), "LIVE\n");
  });

  it("/config_dump shows everything but keys", async () => {
    const body = await (await ask("/config_dump")).text();
    const dump = JSON.parse(body) as { listeners: { name: string }[]; clusters: { name: string }[] };
    assert.deepEqual(
      dump.listeners.map(({ name }) => name),
      ["web", "secure"],
    );
    assert.deepEqual(
      dump.clusters.map(({ name }) => name),
      ["backend"],
    );
    assert.match(body, /BEGIN CERTIFICATE/);
    assert.doesNotMatch(body, /PRIVATE KEY/);
    assert.ok(!body.includes(keyPem.split("\n")[1] ?? "-"));
  });

  it("/clusters shows each endpoint", async () => {
    const [cluster] = (await (await ask("/clusters")).json()) as {
      name: string;
      endpoints: { address: string; connections: number }[];
    }[];
    assert.equal(cluster?.name, "backend");
    assert.deepEqual(
      cluster?.endpoints.map(({ address }) => address),
      [`127.0.0.1:${backend.port}`],
    );
    assert.equal(cluster?.endpoints[0]?.connections, 1);
  });

  it("/listeners shows each address", async () => {
    const listeners = (await (await ask("/listeners")).json()) as { name: string }[];
    assert.deepEqual(
      listeners.map(({ name }) => name),
      ["web", "secure"],
    );
  });

  it("/stats has the request that was served", async () => {
    assert.match(await (await ask("/stats")).text(), /^heddle_requests_total\{.*code="200".*\} 1$/m);
  });

  it("/logging shows the level, and POST changes it", async () => {
    assert.deepEqual(await (await ask("/logging")).json(), { level: "info" });
    assert.equal((await ask("/logging?level=debug")).status, 405);
    assert.equal((await ask("/logging?level=loud", { method: "POST" })).status, 400);
    assert.deepEqual(await (await ask("/logging?level=error", { method: "POST" })).json(), { level: "error" });
    assert.equal(threshold.level, "error");
  });

  it("/profile/cpu shows what the data thread does, or the main thread", async () => {
    let isLoading = true;
    const load = async (): Promise<void> => {
      while (isLoading) await (await fetch(`http://127.0.0.1:${app.ports.get("web")}/`)).text();
    };
    const loading = Promise.all([load(), load(), load()]);
    // A profile shows what was sampled: on a busy machine a short one may miss what it looks for.
    let worker = "";
    while (!worker.includes("/proxy/http1/server.ts")) worker = await (await ask("/profile/cpu?seconds=0.1")).text();
    const main = await (await ask("/profile/cpu?seconds=0.1&thread=main")).text();
    isLoading = false;
    await loading;
    assert.match(worker, /"nodes"/);
    assert.doesNotMatch(main, /\/proxy\/http1\/server\.ts/);
    assert.equal((await ask("/profile/cpu?seconds=-1")).status, 400);
    assert.equal((await ask("/profile/cpu?seconds=1&thread=other")).status, 400);
    assert.equal((await ask("/profile/cpu?seconds=1&index=7")).status, 404);
  });

  it("/profile/heap gives a snapshot of the data thread", async () => {
    const body = await (await ask("/profile/heap")).text();
    assert.ok(body.startsWith('{"snapshot"'));
    assert.match(body, /Http1Server/);
  });

  it("names its paths where one is asked for that it does not have", async () => {
    const answer = await ask("/nothing");
    assert.equal(answer.status, 404);
    assert.match(await answer.text(), /\/config_dump/);
  });

  it("opens on loopback alone, unless somebody says so", async () => {
    const anywhere = text.replace(
      "address: 127.0.0.1, port_value: 0 } } }\n",
      "address: 0.0.0.0, port_value: 0 } } }\n",
    );
    await assert.rejects(
      makeApp(anywhere).start(),
      /Cannot open the admin port on 0\.0\.0\.0:0: it is not a loopback address/,
    );
    const allowed = makeApp(
      anywhere.replace("cluster: test }", "cluster: test, metadata: { heddle: { allow_remote_admin: true } } }"),
    );
    await allowed.start();
    await allowed.drain();
  });
});
