import assert from "node:assert/strict";
import { after, test } from "node:test";
import { systemClock, type Clock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import type { KubernetesClient } from "../../kubernetes/client.ts";
import { TestApiServer } from "../../kubernetes/testing/api-server.ts";
import { until } from "../../registry/testing/suite.ts";
import { makeAuthority } from "../testing/make-authority.ts";
import { CaKeeper, type CaKeeperOptions } from "./ca-keeper.ts";
import { caAnnotations } from "./ca-secret.ts";

const secrets = "/api/v1/secrets";
const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
});

async function startServer(): Promise<TestApiServer> {
  const server = await TestApiServer.start(secrets);
  closing.push(() => server.down());
  return server;
}

async function open(server: TestApiServer, more: Partial<CaKeeperOptions> = {}): Promise<CaKeeper> {
  const client: KubernetesClient = server.client;
  closing.push(() => client.close());
  const keeper = await CaKeeper.open({
    client,
    namespace: "heddle-system",
    name: "heddle-ca",
    mayCreate: true,
    trustDomain: "mesh.local",
    leafLifeMs: 3_600_000,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    times: { retryMs: 10, stepMs: 10 },
    ...more,
  });
  closing.push(() => keeper.close());
  return keeper;
}

test("replicas that start together have one authority, and all take the steps that the leader takes", async () => {
  const server = await startServer();
  const keepers = await Promise.all(Array.from({ length: 4 }, () => open(server)));
  const bundles = (): Set<string> => new Set(keepers.map(({ material }) => material.current.bundlePem));
  const [first] = bundles();
  assert.ok(first !== undefined && bundles().size === 1);
  const signers = (): Set<string> => new Set(keepers.map(({ material }) => material.current.issuer.keyPem));
  assert.equal(signers().size, 1);

  const object = server.get(secrets, "heddle-system", "heddle-ca");
  const metadata = object?.["metadata"] as Record<string, Record<string, string>>; // as: every object has it
  const annotations = { ...metadata["annotations"], [caAnnotations.rotate]: "yes", [caAnnotations.overlap]: "0s" };
  server.put(secrets, { ...object, metadata: { ...metadata, annotations } });
  keepers[1]?.setLeader(true);
  await until(() => bundles().size === 1 && ![...bundles()][0]?.includes(first));
  assert.equal(signers().size, 1);
});

test("a Secret that is deleted comes back with the same authority, and one that is broken changes nothing", async () => {
  const server = await startServer();
  const keeper = await open(server);
  keeper.setLeader(true);
  const { bundlePem } = keeper.material.current;
  server.remove(secrets, "heddle-system", "heddle-ca");
  await until(() => server.get(secrets, "heddle-system", "heddle-ca") !== undefined);
  const again = await open(server);
  assert.equal(again.material.current.bundlePem, bundlePem);
  server.put(secrets, { metadata: { namespace: "heddle-system", name: "heddle-ca" }, data: {} });
  const lines: string[] = [];
  const log = { ...silentLog, error: (message: string) => void lines.push(message) };
  await assert.rejects(open(server, { log }), /heddle-system\/heddle-ca.*no tls\.crt/);
  assert.equal(keeper.material.current.bundlePem, bundlePem);
});

test("a Secret that is broken and then deleted comes back as it last was good, and is complained of once", async () => {
  const server = await startServer();
  const lines: string[] = [];
  let looks = 0;
  const setTimer: Clock["setTimer"] = (delayMs, run) => (looks++, systemClock.setTimer(delayMs, run));
  const log = { ...silentLog, error: (message: string) => void lines.push(message) };
  const keeper = await open(server, { log, clock: { ...systemClock, setTimer } });
  keeper.setLeader(true);
  const { bundlePem } = keeper.material.current;
  const object = server.get(secrets, "heddle-system", "heddle-ca");
  server.put(secrets, { ...object, data: { "tls.crt": "", "tls.key": "" } });
  await until(() => lines.length > 0);
  looks = 0;
  await until(() => looks > 5);
  assert.deepEqual(lines, ["authority's Secret not taken"]);
  server.remove(secrets, "heddle-system", "heddle-ca");
  await until(() => server.get(secrets, "heddle-system", "heddle-ca") !== undefined);
  assert.equal((await open(server)).material.current.bundlePem, bundlePem);
});

test("an authority that is handed in is awaited, and one that ends soon is called out", async () => {
  const server = await startServer();
  const lines: string[] = [];
  const note = (message: string): void => void lines.push(message);
  const log = { ...silentLog, warn: note, error: note };
  const opening = open(server, { mayCreate: false, log });
  await until(() => lines.includes("waiting for the authority's Secret"));
  const root = await makeAuthority({ name: "company" });
  const middle = await makeAuthority({ name: "mesh", notAfterMs: Date.now() + 5 * 86_400_000 }, root);
  const pems = { "tls.crt": middle.certificatePem, "tls.key": middle.keyPem, "ca.crt": root.certificatePem };
  const data = Object.fromEntries(
    Object.entries(pems).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
  );
  server.put(secrets, { metadata: { namespace: "heddle-system", name: "heddle-ca" }, data });
  const keeper = await opening;
  assert.equal(keeper.material.current.issuer.certificatePem, middle.certificatePem);
  assert.ok(lines.includes("authority ends soon"));
});
