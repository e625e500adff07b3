// Peers that are slow on purpose (CVE-2019-9517 among them) against a sidecar that serves normal clients.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { cluster, httpListener } from "../proxy.ts";
import { Siege } from "./harness.ts";

const module = import.meta.resolve("./stalls.attack.ts");
let siege: Siege;

/** The limits under attack have a listener of their own: on a busy machine a normal request may take a second. */
const limits = { stream_idle_timeout: "1s", request_timeout: "2s", request_headers_timeout: "1s" };
/** With stalls of two seconds at most, an attack is watched for so long. */
const ms = 3000;
const bounds = { module, listener: "limited", maxCpuShare: 0.5 };

before(async () => {
  siege = await Siege.start({
    config: (port, other) => ({
      listeners: [httpListener("in", "app"), httpListener("limited", "other", "AUTO", undefined, limits)],
      clusters: [cluster("app", port), cluster("other", other)],
    }),
  });
});
after(() => siege.stop());

/** 50 answers of 8 MiB: what is held for each of them is a buffer of 64 KiB here and a read there. */
const maxExtraMib = 96;

it("ends answers for which the peer makes no room, and holds 64 KiB of each meanwhile", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "zeroWindow",
    ms,
    maxExtraMib,
    check: ({ saw }) => {
      // On a busy machine the application may take a second for its head, which is 408.
      assert.equal((saw["200"] ?? 0) + (saw["408"] ?? 0), 50);
      assert.ok((saw["200"] ?? 0) > 0);
      assert.deepEqual([resets(saw), saw["RST_STREAM NO_ERROR"]], [saw["200"], undefined]);
    },
  }));

it("ends complete answers for which the peer makes no room", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "zeroWindowSmall",
    ms,
    maxExtraMib,
    check: ({ saw }) => {
      assert.equal((saw["200"] ?? 0) + (saw["408"] ?? 0), 50);
      assert.ok((saw["200"] ?? 0) > 0);
      assert.equal(resets(saw), saw["200"]);
    },
  }));

it("cuts off a peer that makes room for a byte at a time", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "oneByteWindow",
    maxExtraMib,
    maxCpuShare: 1,
    check: ({ saw, connections }) => assert.equal(saw["GOAWAY ENHANCE_YOUR_CALM"], connections),
  }));

it("cuts off a peer that opens all windows by a byte through SETTINGS", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "windowBySettings",
    maxExtraMib,
    check: ({ saw, connections }) => assert.equal(saw["GOAWAY ENHANCE_YOUR_CALM"], connections),
  }));

it("holds little for a peer that reads none of its large answers", (t) =>
  siege.run(t, { ...bounds, attack: "neverReadsLarge", ms, maxExtraMib, check: () => undefined }));

it("cuts off a peer that asks and never reads", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "neverReadsSmall",
    maxExtraMib,
    maxCpuShare: 1,
    check: ({ saw }) => assert.equal(saw["STAYED OPEN"], undefined),
  }));

it("cuts off a peer that never acknowledges SETTINGS", (t) =>
  siege.run(t, {
    ...bounds,
    attack: "neverAcknowledges",
    ms: 12_000,
    maxExtraMib: 32,
    check: ({ saw }) => assert.equal(saw["GOAWAY SETTINGS_TIMEOUT"], 1),
  }));

for (const [attack, what] of [
  ["drippedHead", "whose header block comes in drops"],
  ["cutHead", "whose HEADERS frame does not end"],
] as const) {
  it(`cuts off a peer ${what}`, (t) =>
    siege.run(t, {
      ...bounds,
      attack,
      ms,
      maxExtraMib: 32,
      check: ({ saw }) => assert.equal(saw["GOAWAY ENHANCE_YOUR_CALM"], 1),
    }));
}

for (const [attack, what] of [
  ["noBody", "does not come"],
  ["drippedBody", "comes in drops"],
] as const) {
  it(`answers 408 to requests whose body ${what}`, (t) =>
    siege.run(t, { ...bounds, attack, ms, maxExtraMib: 48, check: ({ saw }) => assert.equal(saw["408"], 100) }));
}

function resets(saw: Readonly<Record<string, number>>): number {
  return Object.entries(saw).reduce((sum, [what, count]) => sum + (what.startsWith("RST_STREAM") ? count : 0), 0);
}
