import assert from "node:assert/strict";
import { test } from "node:test";
import { hashString } from "./hash.ts";
import { HashRing } from "./ring-hash.ts";

const hosts = (count: number): { key: string; weight: number }[] =>
  Array.from({ length: count }, (_, i) => ({ key: `10.0.0.${i}:80`, weight: 1 }));

test("an empty ring has no host", () => {
  assert.equal(new HashRing([], 1024, 8_388_608).lookup(5), -1);
});

test("the ring has at least the minimum of points and at most the maximum", () => {
  assert.ok(new HashRing(hosts(3), 1024, 8_388_608).size >= 1024);
  assert.ok(new HashRing(hosts(10), 1024, 500).size <= 500);
});

test("a host that goes moves only its own keys", () => {
  const before = hosts(5);
  const after = before.slice(0, 4);
  const old = new HashRing(before, 1024, 8_388_608);
  const young = new HashRing(after, 1024, 8_388_608);
  let kept = 0;
  let moved = 0;
  for (let i = 0; i < 5000; i++) {
    const hash = hashString(`key-${i}`);
    if (old.lookup(hash) === 4) continue;
    if (old.lookup(hash) === young.lookup(hash)) kept++;
    else moved++;
  }
  assert.ok(moved / (kept + moved) < 0.01, `${moved} of ${kept + moved} moved`);
});

test("weights give a share of the keys", () => {
  const ring = new HashRing(
    [
      { key: "heavy", weight: 3 },
      { key: "light", weight: 1 },
    ],
    4096,
    8_388_608,
  );
  let heavy = 0;
  for (let i = 0; i < 20_000; i++) if (ring.lookup(hashString(`k${i}`)) === 0) heavy++;
  assert.ok(heavy / 20_000 > 0.7 && heavy / 20_000 < 0.8, `${heavy / 20_000}`);
});
