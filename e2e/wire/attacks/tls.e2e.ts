// Clients that begin a TLS handshake and never end it, flood it, or want another one, beside normal clients of the same port.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { cluster } from "../proxy.ts";
import type { AttackReport } from "./attacker.ts";
import { Siege } from "./harness.ts";
import { tunedListener } from "./tuned.ts";

const module = import.meta.resolve("./tls.attack.ts");
let siege: Siege;

before(async () => {
  const authority = await makeAuthority();
  const { chainPem, keyPem } = await authority.issue({ dns: ["localhost"] });
  siege = await Siege.start({
    config: (port) => ({
      listeners: [
        tunedListener("in", "app", {
          tls: { certificatePem: chainPem, keyPem },
          chain: { transport_socket_connect_timeout: "0.7s" },
        }),
      ],
      clusters: [cluster("app", port)],
    }),
    normal: (port) => [
      { version: "h1", port: port("in"), ca: authority.bundlePem, servername: "localhost" },
      { version: "h2", port: port("in"), ca: authority.bundlePem, servername: "localhost" },
    ],
  });
});
after(() => siege.stop());

function assertEnded({ saw, connections }: AttackReport): void {
  assert.ok(connections > 0);
  assert.equal(saw["STAYED OPEN"], undefined, "connections stayed open");
}

const bounds = { maxExtraMib: 64, maxCpuShare: 0.8 };
const ms = 4000;

it("handshakes that stop behind the ClientHello are ended when their time is up", (t) =>
  siege.run(t, { module, attack: "stalled", ms, ...bounds, check: assertEnded }));

for (const attack of ["emptyRecords", "changeCipherSpecs"]) {
  it(`${attack} end with the connection`, (t) => siege.run(t, { module, attack, ms, ...bounds, check: assertEnded }));
}

it("renegotiation is refused", (t) =>
  siege.run(t, {
    module,
    attack: "renegotiation",
    ms: 2000,
    ...bounds,
    check: ({ saw, connections }) => {
      assert.ok(connections > 0);
      assert.equal(saw["RENEGOTIATED"], undefined, "a client had another handshake");
    },
  }));

it("handshakes without a name, as fast as they come, leave normal clients served", (t) =>
  siege.run(t, {
    module,
    attack: "handshakes",
    ms: 1500,
    maxExtraMib: 96,
    maxCpuShare: 1,
    // After 10,000 handshakes the process stays at about 75 MiB more, and no more after those that follow: what OpenSSL took.
    maxKeptMib: 96,
    check: ({ saw }) => assert.ok((saw["SECURE"] ?? 0) > 10),
  }));
