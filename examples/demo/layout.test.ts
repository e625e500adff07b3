// The shop's YAML: all its ports can be moved, and each service has an application that gets every address it asks for.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { analyze } from "#config/schema/analyze.ts";
import { takePortBlock } from "./free-ports.ts";
import { portsOf, readWorkloads, renderMesh } from "./layout.ts";

const MESH = fileURLToPath(new URL("../shop/mesh", import.meta.url));
const PLAYED_BY_THE_DEMO = ["shopper", "stranger", "suggestions", "vault"];

test("Heddle has nothing to say against the shop's YAML", async () => {
  const { errors, warnings } = await analyze(MESH);
  assert.deepEqual([...errors, ...warnings].map(String), []);
});

test("no two listeners of the shop share a port", async () => {
  const ports = (await readWorkloads(MESH)).flatMap(({ appPort, sidecar }) => [
    appPort,
    ...(sidecar === undefined
      ? []
      : [sidecar.inboundPort, sidecar.adminPort, sidecar.metricsPort, ...Object.values(sidecar.outbound)]),
  ]);
  assert.equal(new Set(ports).size, ports.length);
  assert.ok(ports.every((port) => port >= 18_000 && port < 18_900));
});

test("every service has an application, or is played by the demo", async () => {
  for (const { service } of await readWorkloads(MESH)) {
    const file = fileURLToPath(new URL(`../shop/apps/${service}.ts`, import.meta.url));
    assert.equal(existsSync(file), !PLAYED_BY_THE_DEMO.includes(service), service);
  }
});

test("a rendered copy has every port moved and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "heddle-layout-"));
  await renderMesh(MESH, folder, (port) => port + 10_000);
  const moved = await readWorkloads(folder);
  const original = await readWorkloads(MESH);
  assert.deepEqual(
    moved.map(({ name }) => name),
    original.map(({ name }) => name),
  );
  assert.deepEqual(
    moved.map(({ appPort }) => appPort - 10_000),
    original.map(({ appPort }) => appPort),
  );
  assert.deepEqual(await portsOf(folder), []);
  await rm(folder, { recursive: true });
});

test("the YAML leaves alone the port that locks a block", async () => {
  assert.ok((await portsOf(MESH)).every((port) => port <= 18_990));
});

test("two demos at once get different blocks of ports, and a taken port is avoided", async () => {
  const first = await takePortBlock([18_000], () => 0.5);
  const second = await takePortBlock([18_000], () => 0.5);
  assert.notEqual(first.move(18_000), second.move(18_000));
  await first.release();
  const squatter = createServer().listen(first.move(18_000), "127.0.0.1");
  const third = await takePortBlock([18_000], () => 0.5);
  assert.notEqual(third.move(18_000), first.move(18_000));
  squatter.close();
  await Promise.all([second.release(), third.release()]);
});
