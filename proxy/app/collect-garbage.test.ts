// Threads may collect at the same time, though the flag that gives them the collector is the process's.
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { collectGarbage } from "./collect-garbage.ts";

test("threads that collect at once do not fail", async () => {
  const file = JSON.stringify(new URL("collect-garbage.ts", import.meta.url).href);
  const source = `import(${file}).then(({ collectGarbage }) => { for (let i = 0; i < 15; i++) collectGarbage(); })`;
  const ends = Array.from({ length: 3 }, () => once(new Worker(source, { eval: true }), "exit"));
  for (let i = 0; i < 15; i++) collectGarbage();
  assert.deepEqual(await Promise.all(ends), [[0], [0], [0]]);
});
