// Colours and tenants through a chain of services over real proxies and a control plane: web -> a -> b -> c, d, vault.
// Time limit: 300 s.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Child } from "../../examples/demo/child.ts";
import { takePortBlock } from "../../examples/demo/free-ports.ts";
import { portsOf } from "../../examples/demo/layout.ts";
import { until } from "../../examples/demo/wait.ts";
import { Apps, call, type Answer } from "./colours/apps.ts";

const root = path.join(import.meta.dirname, "../..");
const main = process.env["HEDDLE_MAIN"] ?? path.join(root, "cli/main.ts");
const meshFolder = path.join(import.meta.dirname, "colours");
/** Ports of the planes lie in the block from here on; `heddle up` moves its own, 15010 and on, by the offset. */
const PLANES_AT = 18_900;
const XDS = 15_010;

const block = await takePortBlock(
  [...(await portsOf(meshFolder)), PLANES_AT, PLANES_AT + 2, PLANES_AT + 4],
  () => 0.3 + Math.random() * 0.6,
);
const folder = await mkdtemp(path.join(os.tmpdir(), "heddle-colours-"));
const apps = new Apps((port) => block.move(port));
let mesh: Child | undefined;

type Headers = Readonly<Record<string, string>>;
/** From web's application, through its sidecar. */
const fromWeb = (to: string, headers: Headers = {}): Promise<Answer> => call(block.move(18_004), to, headers);
/** From outside, at the door: web's own sidecar, without an identity. */
const fromOutside = (to: string, headers: Headers = {}): Promise<Answer> => call(block.move(18_001), to, headers);
const fromStranger = (to: string, headers: Headers = {}): Promise<Answer> => call(block.move(18_054), to, headers);

async function start(): Promise<void> {
  await mkdir(path.join(folder, "mesh"));
  const text = await readFile(path.join(meshFolder, "mesh.yaml"), "utf8");
  const moved = text.replaceAll(/\b18\d{3}\b/g, (port) => String(block.move(Number(port))));
  await writeFile(path.join(folder, "mesh", "mesh.yaml"), moved);
  await apps.startAll();
  const offset = String(block.move(PLANES_AT) - XDS);
  const args = [main, "up", path.join(folder, "mesh"), "--state", path.join(folder, "state"), "--offset", offset];
  const logFile = path.join(folder, "up.log");
  mesh = await Child.start({
    name: "up",
    file: process.execPath,
    args: [...args, "--log-level", "warn"],
    env: {},
    logFile,
  });
  await until("the chain to answer", async () => (await fromWeb("/b/c")).status === 200 || undefined, 60_000);
}

async function stop(): Promise<void> {
  await mesh?.stop();
  await apps.stop();
  await block.release();
  await rm(folder, { recursive: true, force: true });
}

async function chains(count: number, ask: () => Promise<Answer>): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) {
    const { status, body } = await ask();
    seen.add(status === 200 ? body : `${status} ${body}`);
  }
  return seen;
}

await test("colours", async (t) => {
  try {
    await start();

    await t.test("a request without a colour has the base everywhere", async () => {
      assert.deepEqual(await chains(20, () => fromWeb("/b/c")), new Set(["a-base b-base c-base"]));
    });

    await t.test("v2 is set at the edge by a header, and goes through the base of b to v2 of c", async () => {
      assert.deepEqual(await chains(20, () => fromWeb("/b/c", { "x-version": "v2" })), new Set(["a-v2 b-base c-v2"]));
    });

    await t.test("baggage that the application brings is the colour, beside its own members", async () => {
      const headers = { baggage: "user=7;p=1,heddle.version=v2" };
      assert.deepEqual(await chains(20, () => fromWeb("/b/c", headers)), new Set(["a-v2 b-base c-v2"]));
    });

    await t.test("a version that nobody has is answered by the base", async () => {
      assert.deepEqual(
        await chains(20, () => fromWeb("/b/c", { "x-version": "v9" })),
        new Set(["a-base b-base c-base"]),
      );
    });

    await t.test("when the instance of the colour is dead the base answers", async () => {
      await apps.kill("c-v2");
      try {
        const headers = { "x-version": "v2" };
        assert.deepEqual(await chains(5, () => fromWeb("/b/c", headers)), new Set(["a-v2 b-base c-base"]));
      } finally {
        await apps.start("c-v2");
      }
    });

    await t.test(
      "a lane that refuses is 503 with its reason where it is missing, and goes where it is not",
      async () => {
        assert.equal((await fromWeb("/b/d", { baggage: "heddle.lane=green" })).body, "a-base b-base d-green");
        const missing = await fromWeb("/b/d", { baggage: "heddle.lane=blue" });
        assert.equal(missing.status, 503);
        assert.match(missing.body, /"code":"colour_unavailable"/);
        assert.match(
          String(missing.headers["x-reason"]),
          /error=destination_unavailable; details="[^"]*no healthy endpoint with lane=blue/,
        );
      },
    );

    await t.test("a forged colour is refused at the door, and by who believes only some", async () => {
      const outside = await fromOutside("/a/b/c", { baggage: "heddle.version=v2" });
      assert.deepEqual([outside.status, /colour.untrusted/.test(outside.body)], [403, true], outside.body);
      assert.equal((await fromOutside("/a/b/c")).body, "web a-base b-base c-base");
      assert.equal((await fromOutside("/a/b/c", { baggage: "user=7" })).status, 200);
      assert.equal((await fromOutside("/a/b/c", { "x-version": "v2" })).status, 403);
      assert.equal((await fromStranger("/b/d", { baggage: "heddle.lane=green" })).status, 403);
      assert.equal((await fromStranger("/b/c", { baggage: "heddle.version=v2" })).body, "a-v2 b-base c-v2");
    });

    await t.test("a tenant travels by baggage to its own instance, three hops away", async () => {
      for (const tenant of ["acme", "globex"])
        assert.deepEqual(
          await chains(20, () => fromWeb("/b/vault", { "x-tenant": tenant })),
          new Set([`a-base b-base vault-${tenant}`]),
        );
      assert.equal((await fromStranger("/b/vault", { baggage: "heddle.tenant=acme" })).status, 403);
      assert.equal((await fromOutside("/a/b/vault", { baggage: "heddle.tenant=acme" })).status, 403);
    });

    await t.test("baggage cannot say another tenant than the header that is believed", async () => {
      const headers = { "x-tenant": "acme", baggage: "heddle.tenant=globex" };
      assert.deepEqual(await chains(10, () => fromWeb("/b/vault", headers)), new Set(["a-base b-base vault-acme"]));
    });

    await t.test("tenants do not mix when one's only instance is killed", async () => {
      await apps.kill("vault-acme");
      const before = apps.received.get("vault-globex") ?? 0;
      for (let i = 0; i < 20; i++) assert.equal((await fromWeb("/b/vault", { "x-tenant": "acme" })).status, 503);
      assert.equal((await fromWeb("/b/vault")).status, 503);
      assert.equal(apps.received.get("vault-globex"), before);
      assert.equal((await fromWeb("/b/vault", { "x-tenant": "globex" })).body, "a-base b-base vault-globex");
      await apps.start("vault-acme");
      await until(
        "acme to be served again",
        async () => (await fromWeb("/b/vault", { "x-tenant": "acme" })).status === 200 || undefined,
        60_000,
      );
    });
  } finally {
    await stop();
  }
});
