// HTTP/2 to HTTP/1: whatever a client puts into its frames, the server behind understands that one request or nothing.
import assert from "node:assert/strict";
import { it } from "node:test";

import { atEnd } from "../cleanup.ts";
import { cluster, httpListener, Proxy } from "../proxy.ts";
import { until } from "../until.ts";
import { DOWNGRADES, type DowngradeCase } from "./downgrade-cases.ts";
import { startGoEcho, startNodeEcho, startStrictEcho, type EchoUpstream } from "./echo-upstreams.ts";
import { END_STREAM, frame, get, headers, nameOfCode, TYPE } from "./raw-frames.ts";
import { RawH2, statusOf, Tally } from "./raw-h2.ts";

const CANARY = "GET /canary 0";

/** What a stream came to: an answer and its status, or how it ended. */
class Watched {
  readonly ends = new Map<number, string>();
  readonly peer: RawH2;

  constructor(port: number) {
    this.peer = new RawH2(port, new Tally());
    this.peer.onFrame = (type, _flags, id, payload) => {
      const status = type === TYPE.HEADERS ? statusOf(payload) : "1";
      if (!status.startsWith("1") && !this.ends.has(id)) this.ends.set(id, status);
      else if (type === TYPE.RST_STREAM && !this.ends.has(id)) this.ends.set(id, nameOfCode(payload.readUInt32BE(0)));
    };
  }

  async endOf(id: number): Promise<string> {
    await until("an answer or the end", () => this.ends.has(id) || this.peer.isOver, 10_000);
    return this.ends.get(id) ?? "the connection ended";
  }
}

function framesOf({ fields, data, trailers }: DowngradeCase): Buffer {
  const pieces = [headers(1, fields, data === undefined && trailers === undefined)];
  for (const [index, text] of (data ?? []).entries()) {
    const isLast = trailers === undefined && index === (data?.length ?? 0) - 1;
    pieces.push(frame(TYPE.DATA, isLast ? END_STREAM : 0, 1, Buffer.from(text, "latin1")));
  }
  if (trailers !== undefined) pieces.push(headers(1, trailers, true));
  return Buffer.concat(pieces);
}

async function runCase(one: DowngradeCase, port: number, upstream: EchoUpstream): Promise<void> {
  upstream.seen.length = 0;
  upstream.takeRaw();
  const attacker = new Watched(port);
  const innocent = new Watched(port);
  try {
    attacker.peer.send(framesOf(one));
    const end = await attacker.endOf(1);
    if (one.isRefused) assert.match(end, /^(?:PROTOCOL_ERROR|400|the connection ended)$/);
    else assert.equal(end, "200");
    innocent.peer.send(get(1, "/canary"));
    assert.equal(await innocent.endOf(1), "200", "an innocent request is not served");
  } finally {
    attacker.peer.destroy();
    innocent.peer.destroy();
  }
  await until("the server says what it saw", () => upstream.seen.includes(CANARY));
  // What is refused after it was whole may have been seen, or not.
  const seen = one.isRefused ? upstream.seen.filter((line) => line !== one.request) : upstream.seen;
  assert.deepEqual(seen, one.isRefused ? [CANARY] : [one.request, CANARY], "what the server understood");
  const raw = upstream.takeRaw();
  const before = raw.slice(0, Math.max(0, raw.lastIndexOf("GET /canary ")));
  if (one.isRefused && one.data === undefined && one.trailers === undefined)
    assert.equal(before, "", "bytes of a refused request reached the server");
  assert.doesNotMatch(before, /evil: 1/i);
  if (one.never !== undefined) assert.doesNotMatch(before, one.never);
}

it(`${DOWNGRADES.length} HTTP/2 requests before each of three HTTP/1 servers`, async (t) => {
  const upstreams = await Promise.all([startStrictEcho(), startNodeEcho(), startGoEcho()]);
  for (const upstream of upstreams) atEnd(t, () => upstream.stop());
  const proxy = await Proxy.start({
    listeners: upstreams.map(({ name }) => httpListener(name, name)),
    clusters: upstreams.map(({ name, port }) => cluster(name, port)),
  });
  atEnd(t, () => proxy.stop());
  const failures: string[] = [];
  await Promise.all(
    upstreams.map(async (upstream) => {
      for (const one of DOWNGRADES) {
        try {
          await runCase(one, proxy.port(upstream.name), upstream);
        } catch (error) {
          failures.push(`${upstream.name}: ${one.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }),
  );
  t.diagnostic(`${DOWNGRADES.length} cases, ${DOWNGRADES.length * upstreams.length} runs`);
  assert.deepEqual(failures, []);
});
