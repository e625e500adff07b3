// An instance whose application is gone, while its sidecar is still there: no request is lost to it, whatever its method.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { test } from "node:test";

import { atEnd } from "./cleanup.ts";
import { startMesh } from "./mesh-pair.ts";

const CALLS = 24;
const EXTENSIONS = "type.googleapis.com/envoy.extensions.";
const RETRIES = {
  http_filters: [
    { name: "heddle.retry", typed_config: { "@type": "type.googleapis.com/heddle.filters.retry.v1.Retry" } },
    { name: "router", typed_config: { "@type": `${EXTENSIONS}filters.http.router.v3.Router` } },
  ],
};

async function portOf(server: net.Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port; // as: a TCP server's
}

async function closedPort(): Promise<number> {
  const server = net.createServer();
  const port = await portOf(server);
  server.close();
  return port;
}

test(
  "requests go to the instance that is left, and one that nobody can take is explained",
  { timeout: 60_000 },
  async (t) => {
    const seen = new Map<string, number>();
    const app = http.createServer((request, response) => {
      const key = request.headers["x-call"] as string; // as: sent once
      seen.set(key, (seen.get(key) ?? 0) + 1);
      request.pipe(response);
    });
    const alive = { port: await portOf(app), protocol: "http1" as const };
    atEnd(t, () => app.close());
    const gone = { port: await closedPort(), protocol: "http1" as const };
    const { caller } = await startMesh(t, { alive, gone }, RETRIES);
    const call = async (listener: string, key: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${caller.port(listener)}/`, {
        method: "POST",
        body: "hello",
        headers: { "x-call": key },
      });

    for (let index = 0; index < CALLS; index++) {
      // One at a time: a cluster without a retry budget has Envoy's limit of three retries.
      // oxlint-disable-next-line no-await-in-loop
      const answer = await call("any", `call-${index}`);
      // oxlint-disable-next-line no-await-in-loop
      assert.equal(`${answer.status} ${await answer.text()}`, "200 hello");
    }
    assert.equal(seen.size, CALLS);
    assert.ok(
      [...seen.values()].every((times) => times === 1),
      "each was executed once",
    );

    const refused = await call("gone", "last");
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get("heddle-unprocessed"), null);
    assert.match(await refused.text(), /upstream_connect_failure/);
  },
);
