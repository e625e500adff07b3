// Each application runs as its own process: says one ready line, is healthy, and leaves with code 0 on SIGTERM.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Load } from "./load.ts";

test("an application process says ready, answers /healthz, and ends cleanly on SIGTERM", async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL("apps/reviews.ts", import.meta.url))], {
    env: { ...process.env, INSTANCE: "reviews-v2-1", VERSION: "v2" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  await once(reader, "line");
  const ready: unknown = JSON.parse(lines[0] ?? "");
  assert.ok(typeof ready === "object" && ready !== null && "port" in ready && "instance" in ready);
  assert.equal(ready.instance, "reviews-v2-1");
  const load = new Load();
  const { status, body } = await load.call({ url: `http://127.0.0.1:${String(ready.port)}/healthz` });
  assert.equal(status, 200);
  assert.deepEqual(body, { ok: true, instance: "reviews-v2-1" });
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  assert.equal(lines.length, 1);
  await load.close();
});
