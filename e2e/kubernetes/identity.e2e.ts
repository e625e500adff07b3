// Who may speak with whom in a cluster: STRICT and PERMISSIVE to callers with and without a sidecar, and identities that are not one's own.
import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { after, before, describe, it } from "node:test";

import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { CONTROL_PLANE_NAME } from "#config/bootstrap/sidecar-bootstrap.ts";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { AggregatedDiscoveryService } from "#config/xds/gen/envoy/service/discovery/v3/ads_pb.ts";
import { makeRoot } from "#control-plane/identity/certificates.ts";
import { tokenAudience } from "#control-plane/identity/kubernetes/token-review.ts";
import { makeKeyAndRequest, type KeyAndRequest } from "#proxy/identity/certificate-request.ts";
import { makeGrpcSigner, type Sign } from "#proxy/identity/signing-client.ts";

import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { BASE_IMAGE } from "./cluster/images.ts";
import { installMesh, makeMeshNamespace, SYSTEM_NAMESPACE } from "./mesh.ts";
import { deleteNamespace, execInPod, makeNamespace, untilPodIsReady } from "./pods.ts";

const MESH = "identity";
const OUTSIDE = "identity-outside";
const SERVER = 'require("http").createServer((q,s)=>s.end(JSON.stringify(q.headers))).listen(8080,"::")';

const cluster = Cluster.join();
let serverAddress = "";

before(async () => {
  await installMesh(cluster);
  await Promise.all([makeMeshNamespace(cluster, MESH), makeNamespace(cluster, OUTSIDE)]);
  await cluster.apply([
    ...["server", "client"].flatMap((name) => [
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: MESH } },
      pod(MESH, name, name),
    ]),
    pod(MESH, "client-2", "client"),
    pod(OUTSIDE, "stranger", "default"),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "server", namespace: MESH },
      spec: { selector: { app: "server" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    },
  ]);
  serverAddress = await untilPodIsReady(cluster, MESH, "server");
  await untilPodIsReady(cluster, MESH, "client");
  await untilPodIsReady(cluster, MESH, "client-2");
  await untilPodIsReady(cluster, OUTSIDE, "stranger");
});

after(async () => {
  await Promise.all([deleteNamespace(cluster, MESH), deleteNamespace(cluster, OUTSIDE)]);
});

function pod(namespace: string, name: string, serviceAccountName: string): object {
  const app = { name: "app", image: BASE_IMAGE, command: ["node", "-e", SERVER] };
  const spec = { serviceAccountName, terminationGracePeriodSeconds: 1, containers: [app] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace, labels: { app: name } }, spec };
}

/** The body of the answer, or the code of what went wrong. */
async function call(namespace: string, from: string, url: string): Promise<string> {
  const script = `fetch(${JSON.stringify(url)},{signal:AbortSignal.timeout(5000)}).then(async r=>console.log(r.status,await r.text()),e=>console.log("failed",e.cause?.code??e.name))`;
  return (await execInPod(cluster, namespace, from, ["node", "-e", script], "app")).trim();
}

async function setMode(mode: string): Promise<void> {
  const metadata = { name: "mode", namespace: MESH };
  await cluster.apply([{ apiVersion: "heddle.dev/v1alpha1", kind: "PeerAuthentication", metadata, spec: { mode } }]);
}

describe("a server with a sidecar", () => {
  const service = `http://server.${MESH}/`;

  it("is called over mutual TLS by a client with one, and knows it", async () => {
    const answer = await call(MESH, "client", service);
    assert.match(answer, /^200 /);
    assert.ok(answer.includes(`URI=spiffe://cluster.local/ns/${MESH}/sa/client`), answer);
  });

  it("is called in plaintext by a client without one while it is PERMISSIVE, and not while it is STRICT", async () => {
    await setMode("PERMISSIVE");
    assert.match(await call(OUTSIDE, "stranger", service), /^200 /);
    await setMode("STRICT");
    const byAddress = `http://${serverAddress}:8080/`;
    await until(
      "plaintext is refused",
      async () => (await call(OUTSIDE, "stranger", service)).startsWith("failed"),
      60_000,
    );
    assert.match(await call(OUTSIDE, "stranger", byAddress), /^failed (UND_ERR_SOCKET|ECONNRESET)/);
    assert.match(await call(MESH, "client", service), /^200 .*sa\/client/);
    assert.match(await call(MESH, "client", byAddress), /^200 .*sa\/client/);
    await setMode("PERMISSIVE");
    await until(
      "both are taken again",
      async () => (await call(OUTSIDE, "stranger", service)).startsWith("200"),
      60_000,
    );
    assert.match(await call(MESH, "client", service), /^200 .*sa\/client/);
  });

  it("takes no certificate of another authority, and none at all, as the mesh's", async () => {
    await setMode("STRICT");
    const { keyPem, certificatePem } = await makeOwnAuthority();
    for (const own of [{}, { key: keyPem, cert: certificatePem }]) {
      const socket = tls.connect({
        host: serverAddress,
        port: 8080,
        ALPNProtocols: ["h2"],
        rejectUnauthorized: false,
        ...own,
      });
      socket.on("error", () => undefined);
      const said: Buffer[] = [];
      socket.on("data", (bytes: Buffer) => void said.push(bytes));
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
      await once(socket, "close", { signal: AbortSignal.timeout(20_000) });
      assert.ok(!Buffer.concat(said).includes("x-request-id"));
    }
    await setMode("PERMISSIVE");
  });
});

describe("an identity in the cluster", () => {
  let address: { address: string; port: number };
  let rootsPem: string;
  let sign: Sign;

  before(async () => {
    const find = ["-n", SYSTEM_NAMESPACE, "get", "service", CONTROL_PLANE_NAME, "-o", "jsonpath={.spec.clusterIP}"];
    address = { address: await cluster.kubectl(...find), port: 15_012 };
    rootsPem = await cluster.kubectl(
      "-n",
      MESH,
      "get",
      "configmap",
      "heddle-roots",
      "-o",
      "jsonpath={.data.roots\\.pem}",
    );
    sign = makeGrpcSigner(address);
  });

  /** As the kubelet projects it into the pod. */
  async function tokenOf(name: string, account: string): Promise<string> {
    const bound = ["--bound-object-kind", "Pod", "--bound-object-name", name, "--audience", tokenAudience];
    return (await cluster.kubectl("-n", MESH, "create", "token", account, ...bound)).trim();
  }

  async function certificateOf(
    name: string,
    account: string,
    asked = account,
  ): Promise<KeyAndRequest & { chainPem: string }> {
    const made = makeKeyAndRequest(`spiffe://cluster.local/ns/${MESH}/sa/${asked}`);
    const proof = { kind: "token", token: await tokenOf(name, account) } as const;
    const { chainPem } = await sign({ csrPem: made.csrPem, proof, rootsPem });
    return { ...made, chainPem };
  }

  /** Opens a stream of xDS as a node: the first resource's type, or why it was ended. */
  async function openStream(
    node: string,
    account: string,
    own?: { keyPem: string; chainPem: string },
  ): Promise<string> {
    const bytes = (pem: string | undefined): Buffer | null => (pem === undefined ? null : Buffer.from(pem));
    const channel = credentials.createSsl(Buffer.from(rootsPem), bytes(own?.keyPem), bytes(own?.chainPem));
    const name = { "grpc.ssl_target_name_override": CONTROL_PLANE_NAME, "grpc.default_authority": CONTROL_PLANE_NAME };
    const client = new Client(`${address.address}:${address.port}`, channel, name);
    const { path, requestSerialize, responseDeserialize } = grpcMethod(
      AggregatedDiscoveryService,
      "deltaAggregatedResources",
    );
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const metadata = { namespace: MESH, serviceAccount: account };
    const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
    try {
      return await new Promise<string>((resolve) => {
        stream.on("data", ({ resources }: { readonly resources: readonly unknown[] }) =>
          resolve(`${resources.length} resources`),
        );
        stream.on("error", (error: ServiceError) => resolve(error.message));
        stream.write({ node: { id: node, cluster: "test", userAgentName: "heddle", metadata }, typeUrl });
      });
    } finally {
      stream.on("error", () => undefined);
      stream.cancel();
      client.close();
    }
  }

  it("is signed for the pod's own account alone", async () => {
    await assert.rejects(certificateOf("client", "client", "server"), /asks for .*server.*not for .*client/);
  });

  it("opens the stream of its own pod, and of no other, not even one of the same account", async () => {
    const own = await certificateOf("client", "client");
    assert.match(await openStream(`${MESH}/client`, "client", own), /^\d+ resources$/);
    assert.match(
      await openStream(`${MESH}/client-2`, "client", own),
      /PERMISSION_DENIED.*certificate of pod .*client" may not be node/,
    );
    assert.match(await openStream(`${MESH}/server`, "server", own), /PERMISSION_DENIED.*may not be node/);
    assert.match(await openStream(`${MESH}/server`, "client", own), /PERMISSION_DENIED/);
  });

  it("that is missing, or of another authority, gets nothing", async () => {
    assert.match(await openStream(`${MESH}/client`, "client"), /PERMISSION_DENIED.*needs a client certificate/);
    const { keyPem, certificatePem } = await makeOwnAuthority();
    const forged = await openStream(`${MESH}/client`, "client", { keyPem, chainPem: certificatePem });
    assert.match(forged, /PERMISSION_DENIED.*needs a client certificate|UNAVAILABLE/);
    await assert.rejects(
      sign({
        csrPem: makeKeyAndRequest(`spiffe://cluster.local/ns/${MESH}/sa/client`).csrPem,
        proof: { kind: "token", token: "a.b.c" },
        rootsPem,
      }),
      /no JSON Web Token/,
    );
  });
});

async function makeOwnAuthority(): Promise<{ keyPem: string; certificatePem: string }> {
  return makeRoot("somebody else's", { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 });
}
