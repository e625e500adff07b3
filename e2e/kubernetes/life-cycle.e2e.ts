// No request is lost while parts of the cluster and of the mesh are restarted, killed, rotated, changed and scaled.
// HEDDLE_E2E_REQUESTS: how many requests each event must see at least (2,000; the full run: 20,000); HEDDLE_E2E_RATE: how many a second (100).
// Time limit: 2700 s.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { BASE_IMAGE } from "./cluster/images.ts";
import { Load } from "./load/load.ts";
import { installMesh, makeMeshNamespace, SYSTEM_NAMESPACE } from "./mesh.ts";
import { deleteNamespace, untilRolledOut } from "./pods.ts";

const NAMESPACE = "life";
const REQUESTS = Number(process.env["HEDDLE_E2E_REQUESTS"] ?? "2000");
const PER_SECOND = Number(process.env["HEDDLE_E2E_RATE"] ?? "100");
const CONTROL_PLANE = "deployment/heddle-control-plane";
/** Ends as a good citizen: what runs is answered, and no new connection is taken. */
const SERVER =
  'const s=require("http").createServer((q,a)=>a.end("ok")).listen(8080,"::");process.on("SIGTERM",()=>s.close(()=>process.exit(0)))';

const KILL_CONTROL_PLANES =
  'for one in /proc/[0-9]*; do tr "\\0" " " 2>/dev/null < $one/cmdline | grep -q "^/nodejs/bin/node .*heddle-control-plane.mjs" && ' +
  "kill -KILL ${one#/proc/} && echo ${one#/proc/}; done; true";

const cluster = Cluster.join();
let load: Load;

before(async () => {
  await installMesh(cluster);
  await makeMeshNamespace(cluster, NAMESPACE);
  const labels = { app: "server" };
  await cluster.apply([
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "server", namespace: NAMESPACE },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 20,
            containers: [
              {
                name: "app",
                image: BASE_IMAGE,
                command: ["node", "-e", SERVER],
                ports: [{ containerPort: 8080 }],
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
      spec: { selector: labels, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    },
  ]);
  await untilRolledOut(cluster, NAMESPACE, "deployment/server");
  load = await Load.deploy(cluster, { namespace: NAMESPACE });
});

after(() => deleteNamespace(cluster, NAMESPACE));

/** The event begins under load, and the load ends when the event has ended and enough was asked. */
async function losesNothing(event: () => Promise<unknown>): Promise<void> {
  await load.start({ url: `http://server.${NAMESPACE}/`, perSecond: PER_SECOND });
  await until("the load has begun", async () => (await load.report()).succeeded >= PER_SECOND, 60_000);
  let failure: unknown;
  await event().catch((error: unknown) => (failure = error));
  const limitMs = 60_000 + (REQUESTS / PER_SECOND) * 2000;
  await until("enough was asked", async () => (await load.report()).sent >= REQUESTS, limitMs);
  const { sent, succeeded, failures, examples } = await load.stop();
  if (failure !== undefined) throw failure;
  assert.deepEqual(failures, {}, `of ${sent}: ${examples.join(", ")}`);
  assert.equal(succeeded, sent);
}

async function readyReplicas(): Promise<number> {
  const path = "jsonpath={.status.readyReplicas}";
  return Number(await cluster.kubectl("-n", SYSTEM_NAMESPACE, "get", CONTROL_PLANE, "-o", path));
}

async function rollOut(namespace: string, name: string): Promise<void> {
  await cluster.kubectl("-n", namespace, "rollout", "restart", name);
  await untilRolledOut(cluster, namespace, name);
}

async function scale(replicas: number): Promise<void> {
  await cluster.kubectl("-n", NAMESPACE, "scale", "deployment/server", `--replicas=${replicas}`);
  await untilRolledOut(cluster, NAMESPACE, "deployment/server");
}

describe("no request is lost", { concurrency: false }, () => {
  it("while the application is rolled out anew", () => losesNothing(() => rollOut(NAMESPACE, "deployment/server")));

  it("while the control plane is rolled out anew", () => losesNothing(() => rollOut(SYSTEM_NAMESPACE, CONTROL_PLANE)));

  it("while every control plane is killed", () =>
    losesNothing(async () => {
      // The cluster has a process namespace of its own: these are its processes alone.
      const killed = await cluster.exec(["sh", "-c", KILL_CONTROL_PLANES]);
      assert.ok(killed.trim().split(/\s+/).length >= 2, `killed: ${killed}`);
      await until("the killed ones are missed", async () => (await readyReplicas()) === 0, 30_000);
      await untilRolledOut(cluster, SYSTEM_NAMESPACE, CONTROL_PLANE);
    }));

  it("while the API server restarts", () => losesNothing(() => cluster.restart("apiserver")));

  it("while the kubelet restarts", () => losesNothing(() => cluster.restart("kubelet")));

  it("while a new root is announced and takes over", () =>
    losesNothing(async () => {
      const annotate = (...annotations: readonly string[]): Promise<string> =>
        cluster.kubectl("-n", SYSTEM_NAMESPACE, "annotate", "--overwrite", "secret", "heddle-ca", ...annotations);
      const rootsOf = (): Promise<string> =>
        cluster.kubectl("-n", NAMESPACE, "get", "configmap", "heddle-roots", "-o", "jsonpath={.data}");
      const past = "heddle.dev/ca-step-at=2026-01-01T00:00:00Z";
      const isSteady = async (): Promise<boolean> => (await rootsOf()).split("BEGIN CERTIFICATE").length === 2;
      // Another file may have left a rotation half done.
      if (!(await isSteady())) await annotate(past);
      await until("no rotation is going on", isSteady, 60_000);
      const before = await rootsOf();
      await annotate("heddle.dev/rotate=now");
      await until("the new root is told", async () => (await rootsOf()) !== before, 60_000);
      // As if the overlap had passed: the next step is due, the one after it is not.
      await annotate(past);
      const keys = ["-n", SYSTEM_NAMESPACE, "get", "secret", "heddle-ca", "-o", "jsonpath={.data.next\\.key}"];
      await until("the new root signs", async () => (await cluster.kubectl(...keys)) === "", 60_000);
      // New pods have certificates of the new root, the caller has one of the old.
      await rollOut(NAMESPACE, "deployment/server");
    }));

  it("while routes change a hundred times", () =>
    losesNothing(async () => {
      const routes = Array.from({ length: 100 }, (_, change) => {
        const parentRefs = [{ group: "", kind: "Service", name: "server", port: 80 }];
        const set = [{ name: "x-change", value: String(change) }];
        const filters = [{ type: "RequestHeaderModifier", requestHeaderModifier: { set } }];
        const rules = [{ filters, backendRefs: [{ name: "server", port: 80 }] }];
        const metadata = { name: "server", namespace: NAMESPACE };
        const route = { apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata };
        return { ...route, spec: { parentRefs, rules } };
      });
      // One after the other, and a process for each of them would be most of the load.
      for (let next = 0; next < routes.length; next += 10) await cluster.apply(routes.slice(next, next + 10));
    }));

  it("while it is scaled from 1 to 10 and back", () =>
    losesNothing(async () => {
      await scale(1);
      await scale(10);
      await scale(1);
    }));
});
