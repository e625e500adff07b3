// The test cluster itself: what later tests take for granted, and that its programs can be killed and come back in place.
// Time limit: 400 s.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { Cluster } from "./cluster/cluster.ts";
import { BASE_IMAGE } from "./cluster/images.ts";
import { Load } from "./load/load.ts";
import { deleteNamespace, execInPod, makeNamespace, untilRolledOut } from "./pods.ts";

const NAMESPACE = "cluster-test";
const SERVER = `
  const http = require("node:http");
  http.createServer((request, response) => response.end(request.socket.remoteAddress)).listen(8080, "::");
  process.once("SIGTERM", () => process.exit(0));
`;

let cluster: Cluster;
let load: Load;

before(async () => {
  cluster = Cluster.join();
  await makeNamespace(cluster, NAMESPACE);
  const labels = { app: "server" };
  await cluster.apply([
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "server", namespace: NAMESPACE },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 2,
            containers: [
              {
                name: "server",
                image: BASE_IMAGE,
                command: ["node", "-e", SERVER],
                readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "server", namespace: NAMESPACE },
      spec: { ipFamilyPolicy: "RequireDualStack", selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
  ]);
  await untilRolledOut(cluster, NAMESPACE, "deployment/server");
  load = await Load.deploy(cluster, { namespace: NAMESPACE });
});

after(async () => {
  await deleteNamespace(cluster, NAMESPACE);
});

it("a pod calls a Service by its name, and by its addresses of both families", async () => {
  const ips = await cluster.kubectl("-n", NAMESPACE, "get", "svc", "server", "-o", "jsonpath={.spec.clusterIPs[*]}");
  const [v4 = "", v6 = ""] = ips.split(" ");
  assert.match(v6, /^fd96::/);
  for (const host of ["server", `server.${NAMESPACE}.svc.cluster.local`, v4, `[${v6}]`])
    assert.match(await execInPod(cluster, NAMESPACE, "load", ["wget", "-qO-", `http://${host}/`]), /88[.:]/);
});

it("a test calls pods and Services itself", async () => {
  const ip = await cluster.kubectl("-n", NAMESPACE, "get", "svc", "server", "-o", "jsonpath={.spec.clusterIP}");
  const response = await fetch(`http://${ip}/`);
  assert.equal(response.status, 200);
});

it("the API server is killed and started again: what is deployed stays, and its traffic goes on", async () => {
  await load.start({ url: "http://server/", perSecond: 50 });
  await cluster.restart("apiserver");
  assert.match(await cluster.kubectl("-n", NAMESPACE, "get", "pods", "--no-headers"), /server-.*1\/1 +Running +0/);
  const report = await load.stop();
  assert.deepEqual(report.failures, {});
  assert.ok(report.succeeded > 10, `only ${report.succeeded} calls`);
});

it("the kubelet is killed and started again: pods are neither restarted nor disturbed", async () => {
  await load.start({ url: "http://server/", perSecond: 50 });
  await cluster.restart("kubelet");
  const report = await load.stop();
  assert.deepEqual(report.failures, {});
  assert.doesNotMatch(await cluster.kubectl("-n", NAMESPACE, "get", "pods", "--no-headers"), /Running +[1-9]/);
});
