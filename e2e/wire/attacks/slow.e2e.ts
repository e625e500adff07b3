// Slow and idle clients, heads and bodies without end, floods of connections, against a sidecar that serves normal clients.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { cluster, httpListener } from "../proxy.ts";
import type { AttackReport } from "./attacker.ts";
import { Siege } from "./harness.ts";
import { tunedListener } from "./tuned.ts";

const module = import.meta.resolve("./slow.attack.ts");
let siege: Siege;

/** Short limits, so that a test sees them within its second or two; `docs/reference/limits.md` has the usual ones. */
const LIMITS = {
  request_headers_timeout: "0.7s",
  request_timeout: "0.7s",
  stream_idle_timeout: "0.5s",
  common_http_protocol_options: { idle_timeout: "0.7s" },
};
const FLOOD_LIMIT = 200;

const EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.";

before(async () => {
  const { chainPem, keyPem } = await (await makeAuthority()).issue({ dns: ["localhost"] });
  const tls = { certificatePem: chainPem, keyPem };
  siege = await Siege.start({
    config: (port) => ({
      listeners: [
        httpListener("in", "app"),
        tunedListener("short", "app", { manager: LIMITS }),
        tunedListener("h1", "app", { codec: "HTTP1", manager: LIMITS }),
        tunedListener("no-request-limit", "app", {
          codec: "HTTP1",
          manager: { ...LIMITS, request_timeout: "0s" },
        }),
        tunedListener("tls", "app", { tls, chain: { transport_socket_connect_timeout: "0.7s" } }),
        tunedListener("full", "app", {
          codec: "HTTP1",
          filters: [
            {
              name: "limit",
              typed_config: {
                "@type": `${EXTENSIONS}network.connection_limit.v3.ConnectionLimit`,
                stat_prefix: "limit",
                max_connections: FLOOD_LIMIT,
              },
            },
          ],
        }),
        tunedListener("rate", "app", {
          codec: "HTTP1",
          listener: {
            listener_filters: [
              {
                name: "rate",
                typed_config: {
                  "@type": `${EXTENSIONS}listener.local_ratelimit.v3.LocalRateLimit`,
                  stat_prefix: "rate",
                  token_bucket: { max_tokens: 50, tokens_per_fill: 10, fill_interval: "1s" },
                },
              },
            ],
          },
        }),
      ],
      clusters: [cluster("app", port)],
    }),
  });
});
after(() => siege.stop());

/** Every connection of the attacker was closed by the sidecar. */
function assertEnded({ saw, connections }: AttackReport, ...statuses: readonly string[]): void {
  assert.ok(connections > 0);
  assert.equal(saw["STAYED OPEN"], undefined, "connections stayed open");
  for (const status of statuses) assert.ok((saw[status] ?? 0) > 0, `no ${status} was seen`);
}

const bounds = { maxExtraMib: 64, maxCpuShare: 0.7 };
const ms = 4000;

for (const listener of ["short", "h1"]) {
  it(`slow heads get 408 when their time is up (${listener})`, (t) =>
    siege.run(t, {
      module,
      attack: "slowHeads",
      listener,
      ms,
      ...bounds,
      check: (report) => assertEnded(report, "408"),
    }));

  it(`slow request lines get 408 (${listener})`, (t) =>
    siege.run(t, { module, attack: "slowLines", listener, ms, ...bounds, check: (report) => assertEnded(report) }));
}

it("slow bodies are cut off by the request's timeout, however they drip", (t) =>
  siege.run(t, {
    module,
    attack: "slowBodies",
    listener: "h1",
    ms,
    ...bounds,
    check: (report) => assertEnded(report, "408"),
  }));

it("bodies that never come are cut off by the stream's idle timeout", (t) =>
  siege.run(t, {
    module,
    attack: "silentBodies",
    listener: "no-request-limit",
    ms,
    ...bounds,
    check: (report) => assertEnded(report, "408"),
  }));

it("readers that do not read are cut off by the stream's idle timeout, and hold no answer in memory", (t) =>
  siege.run(t, {
    module,
    attack: "deafReaders",
    listener: "h1",
    ms,
    maxExtraMib: 96,
    maxCpuShare: 0.9,
    check: ({ saw, connections }) => assert.equal(saw["CUT"], connections),
  }));

it("connections that say nothing are closed by the idle timeout", (t) =>
  siege.run(t, {
    module,
    attack: "idleFlood",
    args: { connections: 1000 },
    listener: "short",
    ms,
    ...bounds,
    check: (report) => assertEnded(report),
  }));

it("a flood of connections stops at the chain's limit", (t) =>
  siege.run(t, {
    module,
    attack: "idleFlood",
    listener: "full",
    ms: 1500,
    ...bounds,
    check: ({ saw, connections }) => {
      assert.equal(connections, 2000);
      assert.equal(saw["STAYED OPEN"], FLOOD_LIMIT);
    },
  }));

it("a flood of connections stops at the listener's rate", (t) =>
  siege.run(t, {
    module,
    attack: "idleFlood",
    listener: "rate",
    ms: 1500,
    ...bounds,
    check: ({ saw }) => assert.ok((saw["STAYED OPEN"] ?? 0) <= 50 + 10 * 10, `${saw["STAYED OPEN"]} stayed open`),
  }));

for (const [attack, status] of [
  ["largeHeads", "431"],
  ["manyFields", "431"],
  ["chunkExtensions", "400"],
  ["endlessTrailers", "431"],
] as const) {
  it(`${attack} get ${status}`, (t) =>
    siege.run(t, { module, attack, listener: "in", ms, ...bounds, check: (report) => assertEnded(report, status) }));
}

it("garbage ends with the connection on a plain port", (t) =>
  siege.run(t, { module, attack: "garbage", ms: 1500, ...bounds, check: (report) => assertEnded(report) }));

for (const attack of ["garbage", "slowHellos", "hugeHellos", "plaintext"]) {
  it(`${attack} on a TLS port end with the connection`, (t) =>
    siege.run(t, { module, attack, listener: "tls", ms, ...bounds, check: (report) => assertEnded(report) }));
}

it("TLS on a plain port gets 400", (t) =>
  siege.run(t, {
    module,
    attack: "hugeHellos",
    listener: "h1",
    ms,
    ...bounds,
    check: (report) => assertEnded(report, "400"),
  }));
