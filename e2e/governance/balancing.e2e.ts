// Balancing over real proxies and a control plane: weights that follow sidecars' reports, localities that fail over, weights of the
// registry that change while requests run.
// Time limit: 180 s.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Child } from "../../examples/demo/child.ts";
import { takePortBlock } from "../../examples/demo/free-ports.ts";
import { portsOf, readWorkloads } from "../../examples/demo/layout.ts";
import { until } from "../../examples/demo/wait.ts";
import { App, FORGED } from "./balancing/app.ts";

const root = path.join(import.meta.dirname, "../..");
const main = process.env["HEDDLE_MAIN"] ?? path.join(root, "cli/main.ts");
const meshFolder = path.join(import.meta.dirname, "balancing");
/** Ports of the planes lie in the block from here on; `heddle up` moves its own, 15010 and on, by the offset. */
const PLANES_AT = 18_900;
const XDS = 15_010;
const RATINGS = 18_004;
const ROOMS = 18_005;
const BOOKS = 18_006;

const block = await takePortBlock(
  [...(await portsOf(meshFolder)), PLANES_AT, PLANES_AT + 2, PLANES_AT + 4],
  () => 0.3 + Math.random() * 0.6,
);
const folder = await mkdtemp(path.join(os.tmpdir(), "heddle-balancing-"));
const file = path.join(folder, "mesh", "mesh.yaml");
const apps = new Map<string, App>();
/** One connection to web's sidecar for all requests of a test. */
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let mesh: Child | undefined;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly isReused: boolean;
}

function app(name: string): App {
  const found = apps.get(name);
  if (found === undefined) throw new Error(`there is no instance ${name}`);
  return found;
}

function call(port: number, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port: block.move(port), path: "/", headers, agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          body,
          headers: response.headers,
          isReused: request.reusedSocket,
        }),
      );
    });
    request.on("error", reject);
  });
}

/** How often each answered, one request after the other; what is not 200 counts by its status. */
async function answers(count: number, port: number): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const { status, body } = await call(port);
    const who = status === 200 ? body : String(status);
    counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  return counts;
}

/** The mesh's YAML, of which the test may have changed something, in the place of what is there. */
async function apply(change: (yaml: string) => string): Promise<void> {
  const yaml = await readFile(path.join(meshFolder, "mesh.yaml"), "utf8");
  const moved = change(yaml).replaceAll(/\b18\d{3}\b/g, (port) => String(block.move(Number(port))));
  await writeFile(path.join(folder, "next"), moved);
  await rename(path.join(folder, "next"), file);
}

async function start(): Promise<void> {
  for (const { name, appPort } of await readWorkloads(meshFolder)) apps.set(name, new App(name, block.move(appPort)));
  for (const one of apps.values()) await one.start();
  await mkdir(path.dirname(file));
  await apply((yaml) => yaml);
  const offset = String(block.move(PLANES_AT) - XDS);
  mesh = await Child.start({
    name: "up",
    file: process.execPath,
    args: [
      main,
      "up",
      path.dirname(file),
      "--state",
      path.join(folder, "state"),
      "--offset",
      offset,
      "--log-level",
      "warn",
    ],
    env: {},
    logFile: path.join(folder, "up.log"),
  });
  const ready = async (): Promise<true | undefined> => {
    for (const port of [RATINGS, ROOMS, BOOKS]) if ((await call(port)).status !== 200) return undefined;
    return true;
  };
  await until("all services to answer", () => ready().catch(() => undefined), 60_000);
}

async function stop(): Promise<void> {
  agent.destroy();
  await mesh?.stop();
  for (const one of apps.values()) await one.kill();
  await block.release();
  await rm(folder, { recursive: true, force: true });
}

/** Until of 60 requests `quick` has at least twice as many as `slow`; what the one without a sidecar then has. */
async function shareOfPlainOnce(quick: string, slow: string): Promise<number> {
  return until(
    `${quick} to have more than ${slow}`,
    async () => {
      const counts = await answers(60, RATINGS);
      const of = (name: string): number => counts.get(name) ?? 0;
      assert.equal(of("ratings-1") + of("ratings-2") + of("ratings-3"), 60, JSON.stringify([...counts]));
      return of(quick) >= 2 * of(slow) ? of("ratings-3") / 60 : undefined;
    },
    30_000,
  );
}

/** Until 20 requests in a row are answered, by exactly these. */
async function onlyFrom(...names: string[]): Promise<void> {
  await until(
    `answers of ${names.join(" and ")} alone`,
    async () => [...(await answers(20, ROOMS)).keys()].sort().join() === names.join() || undefined,
    30_000,
  );
}

await test("balancing", async (t) => {
  try {
    await start();

    await t.test("weights follow the load that sidecars report, whatever instances forge", async () => {
      for (const name of ["ratings-1", "ratings-3"]) app(name).isForging = true;
      app("ratings-1").delayMs = 60;
      app("ratings-2").delayMs = 10;
      app("ratings-3").delayMs = 10;
      // Whoever has no sidecar, and forges a report, has the median: less than the quick one, and not all.
      assert.ok((await shareOfPlainOnce("ratings-2", "ratings-1")) < 0.6);
      app("ratings-1").delayMs = 10;
      app("ratings-2").delayMs = 60;
      assert.ok((await shareOfPlainOnce("ratings-1", "ratings-2")) < 0.6);
    });

    await t.test("neither the calling application nor the called one sees a field of the mesh", async () => {
      for (let i = 0; i < 30; i++) {
        const { status, headers } = await call(RATINGS, { "heddle-load-report": FORGED });
        assert.equal(status, 200);
        assert.deepEqual(
          Object.keys(headers).filter((name) => name.startsWith("heddle-")),
          [],
        );
      }
      for (const one of apps.values()) assert.equal(one.fieldsOfTheMesh, 0, one.name);
    });

    await t.test(
      "the client's zone comes first, then its region, then others in their order, and back again",
      async () => {
        const [near, next, far] = [["rooms-a1", "rooms-a2"], ["rooms-b1"], ["rooms-us"]];
        await onlyFrom(...near);
        for (const name of near) await app(name).kill();
        await onlyFrom(...next);
        await app("rooms-b1").kill();
        await onlyFrom(...far);
        await app("rooms-b1").start();
        await onlyFrom(...next);
        for (const name of near) await app(name).start();
        await onlyFrom(...near);
      },
    );

    await t.test(
      "a weight that is changed in the file holds for the next requests, on the connections that are there",
      async () => {
        assert.deepEqual(
          await answers(40, BOOKS),
          new Map([
            ["books-1", 20],
            ["books-2", 20],
          ]),
        );
        const before = ["books-1", "books-2"].map((name) => app(name).connections);
        await apply((yaml) => yaml.replace("18310 }, weight: 1", "18310 }, weight: 3"));
        await until(
          "three times as many for books-2",
          async () => Math.abs(((await answers(40, BOOKS)).get("books-2") ?? 0) - 30) <= 1 || undefined,
          30_000,
        );
        assert.deepEqual(
          ["books-1", "books-2"].map((name) => app(name).connections),
          before,
        );
        assert.equal((await call(BOOKS)).isReused, true);
      },
    );
  } finally {
    await stop();
  }
});
