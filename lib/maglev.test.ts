import assert from "node:assert/strict";
import { test } from "node:test";
import { hashString } from "./hash.ts";
import { MaglevTable } from "./maglev.ts";

const hosts = (count: number): { key: string; weight: number }[] =>
  Array.from({ length: count }, (_, i) => ({ key: `10.0.0.${i}:80`, weight: 1 }));

function shares(table: MaglevTable, count: number): number[] {
  const cells = Array.from({ length: count }, () => 0);
  for (let hash = 0; hash < table.size; hash++) {
    const host = table.lookup(hash);
    cells[host] = (cells[host] ?? 0) + 1;
  }
  return cells;
}

test("an empty table has no host", () => {
  assert.equal(new MaglevTable([], 65_537).lookup(5), -1);
});

test("hosts of one weight have the same number of cells, but for one", () => {
  const cells = shares(new MaglevTable(hosts(7), 65_537), 7);
  assert.ok(Math.max(...cells) - Math.min(...cells) <= 1, cells.join(" "));
});

test("weights give cells in proportion", () => {
  const table = new MaglevTable(
    [
      { key: "a", weight: 4 },
      { key: "b", weight: 1 },
    ],
    65_537,
  );
  const [a = 0, b = 0] = shares(table, 2);
  assert.ok(Math.abs(a / b - 4) < 0.01, `${a / b}`);
});

test("a host that goes moves few keys of the others", () => {
  const before = hosts(10);
  const old = new MaglevTable(before, 65_537);
  const young = new MaglevTable(before.slice(0, 9), 65_537);
  let moved = 0;
  let others = 0;
  for (let i = 0; i < 5000; i++) {
    const hash = hashString(`key-${i}`);
    if (old.lookup(hash) === 9) continue;
    others++;
    if (old.lookup(hash) !== young.lookup(hash)) moved++;
  }
  assert.ok(moved / others < 0.1, `${moved} of ${others}`);
});
