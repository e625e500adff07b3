// Who is who, decided by a real API server: tokens of service accounts, the authority's Secret among replicas, roots, the webhook's bundle.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import { after, before, describe, it } from "node:test";

import { addCertificateService } from "#control-plane/identity/certificate-service.ts";
import { openClusterIdentity, type ClusterIdentity } from "#control-plane/identity/kubernetes/cluster-identity.ts";
import { tokenAudience } from "#control-plane/identity/kubernetes/token-review.ts";
import { startSecureServer } from "#control-plane/identity/secure-server.ts";
import { KubernetesClient } from "#control-plane/kubernetes/client.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { WatchedValue } from "#lib/watched.ts";
import { makeKeyAndRequest } from "#proxy/identity/certificate-request.ts";
import { makeGrpcSigner, type Sign } from "#proxy/identity/signing-client.ts";

import { until } from "../wire/until.ts";
import { ApiServer } from "./cluster/api-server.ts";

const CART = "spiffe://cluster.local/ns/shop/sa/cart";

let api: ApiServer;
let client: KubernetesClient;
let admin: string;
const closing: (() => unknown)[] = [];

before(async () => {
  api = await ApiServer.start();
  admin = fs.readFileSync(api.kubeconfig, "utf8");
  client = KubernetesClient.fromText(admin);
  await create("namespaces", undefined, { metadata: { name: "heddle-system" } });
  await create("namespaces", undefined, { metadata: { name: "shop", labels: { "heddle.dev/inject": "enabled" } } });
  for (const name of ["cart", "orders"]) await create("serviceaccounts", "shop", { metadata: { name } });
  for (const [name, account] of Object.entries({ "cart-1": "cart", "cart-2": "cart", "orders-1": "orders" }))
    await makePod(name, account);
});

after(async () => {
  for (const close of closing.toReversed()) await close();
  client?.close();
  await api?.stop();
});

async function create(plural: string, namespace: string | undefined, body: object): Promise<unknown> {
  const path = namespace === undefined ? `/api/v1/${plural}` : `/api/v1/namespaces/${namespace}/${plural}`;
  return client.request({ method: "POST", path, body });
}

async function makePod(name: string, serviceAccountName: string): Promise<void> {
  const spec = {
    serviceAccountName,
    containers: [{ name: "app", image: "none" }],
    automountServiceAccountToken: false,
  };
  await create("pods", "shop", { metadata: { name }, spec });
}

interface TokenWish {
  readonly audience?: string;
  readonly pod?: string | undefined;
  readonly seconds?: number;
}

/** As the kubelet asks for what it projects into a pod. */
async function tokenOf(account: string, { audience = tokenAudience, pod, seconds = 3600 }: TokenWish): Promise<string> {
  let boundObjectRef: object | undefined;
  if (pod !== undefined) {
    const found = (await client.request({ path: `/api/v1/namespaces/shop/pods/${pod}` })) as {
      metadata: { uid: string };
    }; // as: a pod
    boundObjectRef = { apiVersion: "v1", kind: "Pod", name: pod, uid: found.metadata.uid };
  }
  const spec = { audiences: [audience], expirationSeconds: seconds, boundObjectRef };
  const path = `/api/v1/namespaces/shop/serviceaccounts/${account}/token`;
  const answer = (await client.request({ method: "POST", path, body: { spec } })) as { status: { token: string } }; // as: its answer
  return answer.status.token;
}

async function openIdentity(isLeader = false): Promise<{ identity: ClusterIdentity; leads: WatchedValue<boolean> }> {
  const own = KubernetesClient.fromText(admin);
  const leads = new WatchedValue(isLeader);
  const identity = await openClusterIdentity({
    client: own,
    namespace: "heddle-system",
    trustDomain: "cluster.local",
    leafLifeMs: 3_600_000,
    isLeader: leads,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  closing.push(async () => {
    await identity.close();
    own.close();
  });
  return { identity, leads };
}

describe("a control plane in front of a real API server", () => {
  let identity: ClusterIdentity;
  let sign: Sign;

  before(async () => {
    ({ identity } = await openIdentity());
    const server = await startSecureServer({
      address: { address: "127.0.0.1", port: 0 },
      authority: identity.authority,
      dnsNames: identity.serverNames,
      clock: systemClock,
      log: silentLog,
      register: (grpc) => {
        const { authority, verifiers } = identity;
        addCertificateService(grpc, { authority, verifiers, clock: systemClock, log: silentLog });
      },
    });
    closing.push(() => server.close(0));
    sign = makeGrpcSigner({ address: "localhost", port: server.port });
  });

  async function askWith(token: string, spiffeId = CART): Promise<X509Certificate> {
    const { csrPem } = makeKeyAndRequest(spiffeId);
    const rootsPem = identity.authority.bundlePem;
    return new X509Certificate((await sign({ csrPem, proof: { kind: "token", token }, rootsPem })).chainPem);
  }

  it("signs for the pod and the account of a projected token, and for no other", async () => {
    const leaf = await askWith(await tokenOf("cart", { pod: "cart-1" }));
    assert.equal(leaf.subjectAltName, `URI:${CART}`);
    assert.match(leaf.subject, /UID=cart-1$/);
    const orders = await tokenOf("orders", { pod: "orders-1" });
    await assert.rejects(askWith(orders), /asks for .*cart.*not for .*orders/);
  });

  it("refuses a token for somebody else, of no pod, altered, or of no account", async () => {
    const other = await tokenOf("cart", { pod: "cart-1", audience: "https://kubernetes.default.svc" });
    await assert.rejects(askWith(other), /not good|not for the audience/);
    await assert.rejects(askWith(await tokenOf("cart", {})), /bound to no pod/);
    const good = await tokenOf("cart", { pod: "cart-1" });
    const [head = "", body = "", signature = ""] = good.split(".");
    const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as Record<string, unknown>; // as: an object
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: "system:serviceaccount:shop:orders" }));
    await assert.rejects(askWith(`${head}.${forged.toString("base64url")}.${signature}`), /not good/);
    await assert.rejects(askWith("admin-t"), /no kind/);
  });

  it("refuses the token of a pod as soon as it is deleted, or made anew under its name", async () => {
    const token = await tokenOf("cart", { pod: "cart-2" });
    assert.match((await askWith(token)).subject, /UID=cart-2$/);
    const path = "/api/v1/namespaces/shop/pods/cart-2";
    await client.request({ method: "DELETE", path, query: { gracePeriodSeconds: 0 } });
    // The API server itself goes by its cache of pods.
    const isRefused = (): Promise<boolean> =>
      askWith(token).then(
        () => false,
        (error: unknown) => /not good/.test(String(error)),
      );
    await until("the token of a deleted pod is refused", isRefused);
    await makePod("cart-2", "cart");
    // Another replica, which remembers no refusal.
    const { identity: other } = await openIdentity();
    await assert.rejects(async () => other.verifiers[0]?.verify(token), /not good/);
    assert.match((await askWith(await tokenOf("cart", { pod: "cart-2" }))).subject, /UID=cart-2$/);
  });

  it("goes on after the API server was away", async () => {
    const token = await tokenOf("cart", { pod: "cart-1" });
    await api.restart();
    await until("it signs again", () =>
      askWith(token).then(
        () => true,
        () => false,
      ),
    );
  });
});

describe("replicas", () => {
  it("make one authority together, and write roots and the webhook's bundle when they lead", async () => {
    await client.request({ method: "DELETE", path: "/api/v1/namespaces/heddle-system/secrets/heddle-ca" });
    const replicas = await Promise.all(Array.from({ length: 5 }, () => openIdentity()));
    const bundles = new Set(replicas.map(({ identity }) => identity.authority.bundlePem));
    assert.equal(bundles.size, 1);
    const [bundlePem = ""] = bundles;

    const clientConfig = { service: { name: "heddle-control-plane", namespace: "heddle-system", path: "/inject" } };
    const webhook = (name: string): object => ({
      name: `${name}.injector.heddle.dev`,
      clientConfig,
      admissionReviewVersions: ["v1"],
      sideEffects: "None",
      namespaceSelector: { matchLabels: { never: "there" } },
    });
    const configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    const configuration = { metadata: { name: "heddle-injector" }, webhooks: [webhook("namespace"), webhook("pod")] };
    await client.request({ method: "POST", path: configurations, body: configuration });

    const [first] = replicas;
    first?.leads.set(true);
    const rootsOf = async (namespace: string): Promise<string> =>
      api
        .kubectl(["-n", namespace, "get", "configmap", "heddle-roots", "-o", "jsonpath={.data.roots\\.pem}"])
        .catch(() => "");
    await until(
      "roots are in the namespace",
      async () => (await rootsOf("shop")) === bundlePem.trimEnd() || (await rootsOf("shop")) === bundlePem,
    );
    assert.equal(await rootsOf("default"), "");
    const caBundles = async (): Promise<readonly unknown[]> => {
      const found = await client.request({ path: `${configurations}/heddle-injector` });
      const { webhooks } = found as { webhooks: { clientConfig: { caBundle?: string } }[] }; // as: what was made above
      return webhooks.map(({ clientConfig: { caBundle = "" } }) => Buffer.from(caBundle, "base64").toString());
    };
    await until("both webhooks trust it", async () => (await caBundles()).every((pem) => pem === bundlePem));

    // As helm does when it writes its own again.
    await client.request({
      method: "PATCH",
      path: `${configurations}/heddle-injector`,
      contentType: "application/merge-patch+json",
      body: { webhooks: configuration.webhooks },
    });
    await until("it is written again", async () => (await caBundles()).every((pem) => pem === bundlePem));
  });

  it("rotate their root when they are asked, and every one of them signs with the new", async () => {
    const replicas = await Promise.all(Array.from({ length: 3 }, () => openIdentity()));
    replicas[1]?.leads.set(true);
    const old = replicas[0]?.identity.authority.bundlePem ?? "";
    const seen = new Set<string>();
    for (const { identity } of replicas) identity.authority.bundle.subscribe((pem) => void seen.add(pem));
    await api.kubectl([
      "-n",
      "heddle-system",
      "annotate",
      "secret",
      "heddle-ca",
      "heddle.dev/ca-overlap=1s",
      "heddle.dev/rotate=now",
    ]);
    await until("the old root is dropped", () =>
      replicas.every(({ identity }) => !identity.authority.bundlePem.includes(old)),
    );
    const [fresh = "", ...others] = new Set(replicas.map(({ identity }) => identity.authority.bundlePem));
    assert.deepEqual(others, []);
    assert.ok(seen.has(old + fresh), "both were trusted meanwhile");
    const root = new X509Certificate(fresh);
    for (const { identity } of replicas) {
      const { chainPem } = await identity.authority.makeServerCertificate(["a"], []);
      assert.ok(new X509Certificate(chainPem).verify(root.publicKey));
    }
  });
});
