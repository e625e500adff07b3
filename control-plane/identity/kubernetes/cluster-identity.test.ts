import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, test } from "node:test";
import { isObject } from "#config/load/values.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { WatchedValue } from "#lib/watched.ts";
import { tryObject } from "../../kubernetes/objects.ts";
import { TestApiServer } from "../../kubernetes/testing/api-server.ts";
import { until } from "../../registry/testing/suite.ts";
import { openClusterIdentity, type ClusterIdentity } from "./cluster-identity.ts";
import { caAnnotations } from "./ca-secret.ts";
import { RootsPublisher } from "./roots-publisher.ts";
import { patchBundles, WebhookBundle } from "./webhook-bundle.ts";

const [secrets, configMaps, namespaces] = ["/api/v1/secrets", "/api/v1/configmaps", "/api/v1/namespaces"];
const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
});

interface Parts {
  readonly server: TestApiServer;
  readonly identity: ClusterIdentity;
  readonly isLeader: WatchedValue<boolean>;
  readonly rootsOf: (namespace: string) => unknown;
}

async function open(): Promise<Parts> {
  const server = await TestApiServer.start(secrets, configMaps, namespaces);
  closing.push(() => server.down());
  for (const [name, choice] of Object.entries({ shop: "enabled", other: "disabled", plain: "" })) {
    const labels = choice === "" ? {} : { "heddle.dev/inject": choice };
    server.put(namespaces, { metadata: { name, labels } });
  }
  const isLeader = new WatchedValue(false);
  const { client } = server;
  closing.push(() => client.close());
  const identity = await openClusterIdentity({
    client,
    namespace: "heddle-system",
    trustDomain: "mesh.local",
    leafLifeMs: 3_600_000,
    isLeader,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  closing.push(() => identity.close());
  const rootsOf = (namespace: string): unknown => {
    const data = server.get(configMaps, namespace, "heddle-roots")?.["data"];
    return isObject(data) ? data["roots.pem"] : undefined;
  };
  return { server, identity, isLeader, rootsOf };
}

test("the leader keeps the roots in namespaces that asked for injection, and in no other", async () => {
  const { server, identity, isLeader, rootsOf } = await open();
  const { bundlePem } = identity.authority;
  isLeader.set(true);
  await until(() => rootsOf("shop") === bundlePem);
  server.put(configMaps, { metadata: { namespace: "shop", name: "heddle-roots" }, data: { "roots.pem": "other" } });
  await until(() => rootsOf("shop") === bundlePem);
  server.remove(configMaps, "shop", "heddle-roots");
  await until(() => rootsOf("shop") === bundlePem);
  server.put(namespaces, { metadata: { name: "late", labels: { "heddle.dev/inject": "true" } } });
  await until(() => rootsOf("late") === bundlePem);
  assert.deepEqual([rootsOf("other"), rootsOf("plain")], [undefined, undefined]);
});

test("any replica writes the roots for a pod that asked itself, and who does not lead writes no others", async () => {
  const { identity, rootsOf } = await open();
  await identity.ensureRoots("plain");
  await identity.ensureRoots("plain");
  assert.equal(rootsOf("plain"), identity.authority.bundlePem);
  assert.equal(rootsOf("shop"), undefined);
});

test("namespaces whose roots are refused are tried again together, not each for itself", async () => {
  const server = await TestApiServer.start(configMaps, namespaces);
  closing.push(() => server.down());
  for (const name of ["a", "b", "c"])
    server.put(namespaces, { metadata: { name, labels: { "heddle.dev/inject": "enabled" } } });
  server.refuseWrites = 403;
  const clock = new FakeClock();
  const { client } = server;
  let failures = 0;
  const log = { ...silentLog, warn: () => void failures++ };
  const bundle = new WatchedValue("roots");
  const publisher = new RootsPublisher({ client, bundle, clock, random: systemRandom, log });
  closing.push(() => client.close());
  closing.push(() => publisher.close());
  publisher.setLeader(true);
  for (const round of [1, 2, 3]) {
    await until(() => failures === round * 3 && clock.pendingTimers === 1);
    clock.advance(2000);
  }
  await assert.rejects(publisher.ensure(".."), /cannot be the name of a namespace/);
});

test("what changes while the webhooks' bundle is written is looked at afterwards", async () => {
  const collection = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  const server = await TestApiServer.start(collection);
  closing.push(() => server.down());
  const name = "heddle-injector";
  server.put(collection, { metadata: { name }, webhooks: [{ name: "a.heddle.dev", clientConfig: {} }] });
  const clock = new FakeClock();
  const { client } = server;
  const bundle = new WatchedValue("one");
  const keeper = new WebhookBundle({ client, name, bundle, clock, random: systemRandom, log: silentLog });
  closing.push(() => client.close());
  closing.push(() => keeper.close());
  const writes = (): number => server.requests.filter((request) => request.startsWith("PATCH")).length;
  keeper.setLeader(true);
  await until(() => writes() === 1);
  await until(() => clock.pendingTimers === 1);
  clock.advance(1000);
  bundle.set("two");
  await until(() => clock.pendingTimers === 1);
  clock.advance(1000);
  await until(() => writes() >= 3);
});

test("another root reaches pods' namespaces and the webhooks' certificate, which has the Service's name", async () => {
  const { server, identity, isLeader, rootsOf } = await open();
  isLeader.set(true);
  const before = identity.webhookCertificate.current;
  const leaf = new X509Certificate(before.cert);
  assert.ok(leaf.checkHost("heddle-control-plane.heddle-system.svc"));
  const secret = tryObject(server.get(secrets, "heddle-system", "heddle-ca"));
  assert.ok(secret);
  const annotations = { ...secret.metadata.annotations, [caAnnotations.rotate]: "1", [caAnnotations.overlap]: "0s" };
  const old = identity.authority.bundlePem;
  server.put(secrets, { ...secret, metadata: { ...secret.metadata, annotations } });
  await until(() => !identity.authority.bundlePem.includes(old) && rootsOf("shop") === identity.authority.bundlePem);
  const fresh = new X509Certificate(identity.authority.bundlePem);
  await until(() => new X509Certificate(identity.webhookCertificate.current.cert).verify(fresh.publicKey));
});

test("a webhook that trusts something else is patched, by name, and one that is right is left alone", () => {
  const metadata = { name: "heddle-injector" };
  const caBundle = Buffer.from("roots").toString("base64");
  const webhooks = [
    { name: "a.heddle.dev", clientConfig: { caBundle } },
    { name: "b.heddle.dev", clientConfig: { service: {} } },
  ];
  const object = tryObject({ metadata, webhooks });
  assert.ok(object);
  assert.deepEqual(patchBundles(object, "roots"), [
    { op: "test", path: "/webhooks/1/name", value: "b.heddle.dev" },
    { op: "add", path: "/webhooks/1/clientConfig/caBundle", value: caBundle },
  ]);
});
