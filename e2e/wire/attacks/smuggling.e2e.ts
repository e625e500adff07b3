// HTTP/1 request smuggling: every case of the corpora through a sidecar to three different parsers, while other clients use the
// same pooled connections. No server ever understands a request that the client did not honestly send.
import assert from "node:assert/strict";
import { it } from "node:test";

import { atEnd } from "../cleanup.ts";
import { cluster, Proxy } from "../proxy.ts";
import { until } from "../until.ts";
import { RawClient } from "./answers.ts";
import { startGoEcho, startNodeEcho, startStrictEcho, type EchoUpstream } from "./echo-upstreams.ts";
import { CHUNKS } from "./smuggling-chunks.ts";
import { FRAMING } from "./smuggling-framing.ts";
import { HEADS } from "./smuggling-heads.ts";
import type { SmugglingCase } from "./smuggling-case.ts";
import { tunedListener } from "./tuned.ts";

const CASES: readonly SmugglingCase[] = [...FRAMING, ...CHUNKS, ...HEADS];
const PAUSE_MS = 15;
const CANARY = "GET /canary 0";

/** Sends one case on a connection of its own, then an innocent request that may get the same connection to the server. */
async function runCase(one: SmugglingCase, port: number, upstream: EchoUpstream): Promise<void> {
  upstream.seen.length = 0;
  upstream.takeRaw();
  const methods = one.requests.map((request) => request.slice(0, request.indexOf(" ")));
  const client = new RawClient(port, methods);
  try {
    for (const [index, piece] of one.pieces.entries()) {
      if (index > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      client.write(piece);
    }
    await client.waitFor(one.statuses.length, one.isClosed);
    assert.equal(client.problem, undefined, "the client got something that is no answer");
    const statuses = client.answers.map(({ status }) => status);
    assert.deepEqual(statuses, one.statuses, "statuses");
    assert.equal(client.isClosed, one.isClosed, "the connection is closed");
    assert.equal(client.rest, "", "bytes behind the last answer");
    for (const [index, request] of one.requests.entries()) {
      if (methods[index] !== "HEAD") assert.equal(client.answers[index]?.body, request);
    }
  } finally {
    client.destroy();
  }
  const innocent = new RawClient(port);
  try {
    innocent.write("GET /canary HTTP/1.1\r\nHost: innocent\r\n\r\n");
    await innocent.waitFor(1, false);
    assert.deepEqual(
      innocent.answers.map(({ status, body }) => `${status} ${body}`),
      [`200 ${CANARY}`],
      "an innocent client got another answer",
    );
  } finally {
    innocent.destroy();
  }
  const expected = [...one.requests, CANARY];
  await until("the server says what it saw", () => upstream.seen.length >= expected.length);
  assert.deepEqual(upstream.seen, expected, "what the server understood");
  const raw = upstream.takeRaw();
  const before = raw.slice(0, Math.max(0, raw.lastIndexOf("GET /canary ")));
  if (!one.isHeadHonest) assert.equal(before, "", "bytes of a refused request reached the server");
  if (one.never !== undefined) assert.doesNotMatch(before, one.never);
}

it(`${CASES.length} smuggling requests before each of three servers`, async (t) => {
  assert.ok(CASES.length >= 150);
  const upstreams = await Promise.all([startStrictEcho(), startNodeEcho(), startGoEcho()]);
  for (const upstream of upstreams) atEnd(t, () => upstream.stop());
  const proxy = await Proxy.start({
    listeners: upstreams.map(({ name }) =>
      tunedListener(name, name, {
        codec: "HTTP1",
        manager: { http_protocol_options: { accept_http_10: true, enable_trailers: true } },
      }),
    ),
    clusters: upstreams.map(({ name, port }) => cluster(name, port)),
  });
  atEnd(t, () => proxy.stop());
  const failures: string[] = [];
  await Promise.all(
    upstreams.map(async (upstream) => {
      for (const one of CASES) {
        try {
          await runCase(one, proxy.port(upstream.name), upstream);
        } catch (error) {
          failures.push(`${upstream.name}: ${one.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }),
  );
  t.diagnostic(`${CASES.length} cases, ${CASES.length * upstreams.length} runs`);
  assert.deepEqual(failures, []);
});
