// Injected pods on a real node: probes of every kind under STRICT mutual TLS, Jobs that complete, applications that crash alone, and
// what a sidecar costs a start.
// Time limit: 900 s.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { makeRoot, makeServerLeaf } from "#control-plane/identity/certificates.ts";
import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { BASE_IMAGE } from "./cluster/images.ts";
import { installMesh, makeMeshNamespace, SYSTEM_NAMESPACE } from "./mesh.ts";
import { deleteNamespace, execInPod, explainPods, makeNamespace, untilPodIsReady } from "./pods.ts";

const WITH = "injection-with";
const WITHOUT = "injection-without";
const PAIRS = 10;
const GOAL_MS = 2000;
const LIMIT_MS = 5000;

/**
 * HTTP on 8080 (with the metrics), HTTPS on 8443 where the environment has a certificate, gRPC's health protocol on 9000, a bare port on
 * 7000 that `/close` closes for good. `/asked` says which paths were asked for how often.
 */
const APPLICATION = `
  const http = require("node:http"), http2 = require("node:http2"), net = require("node:net"), https = require("node:https");
  const bare = net.createServer((socket) => socket.destroy()).listen(7000, "::");
  const { CERT: cert, KEY: key } = process.env, asked = {};
  if (cert) https.createServer({ cert, key }, (request, response) => {
    asked["https" + request.url] = (asked["https" + request.url] ?? 0) + 1;
    response.statusCode = request.headers["x-probe"] === "yes" ? 204 : 400;
    response.end();
  }).listen(8443, "::");
  http.createServer((request, response) => {
    asked[request.url] = (asked[request.url] ?? 0) + 1;
    if (request.url === "/asked") return response.end(JSON.stringify(asked));
    if (request.url === "/fails") response.statusCode = 500;
    if (request.url === "/close") bare.close();
    if (request.url === "/crash") process.exit(3);
    if (request.url === "/host" && request.headers.host !== "probe.example") response.statusCode = 400;
    response.end(request.url === "/own-metrics" ? "# TYPE own_orders_total counter\\nown_orders_total 7\\n" : "ok");
  }).listen(8080, "::");
  http2.createServer().on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  }).listen(9000, "::");
  process.once("SIGTERM", () => process.exit(0));
`;

const cluster = Cluster.join();

interface Wish {
  readonly labels?: object;
  readonly annotations?: object;
  readonly container?: object;
  readonly spec?: object;
}

function podOf(namespace: string, name: string, { labels, annotations, container, spec }: Wish = {}): object {
  const app = { name: "app", image: BASE_IMAGE, command: ["node", "-e", APPLICATION], ...container };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name, ...labels }, annotations },
    spec: { terminationGracePeriodSeconds: 1, containers: [app], ...spec },
  };
}

async function statusOf(name: string, path: string): Promise<string> {
  return cluster.kubectl("-n", WITH, "get", "pod", name, "-o", `jsonpath={.status.${path}}`);
}

const restartsOf = async (name: string): Promise<number> =>
  Number((await statusOf(name, 'containerStatuses[?(@.name=="app")].restartCount')) || "0");
const restartsOfProxy = async (name: string): Promise<number> =>
  Number((await statusOf(name, 'initContainerStatuses[?(@.name=="heddle-proxy")].restartCount')) || "0");

before(async () => {
  await installMesh(cluster);
  await makeMeshNamespace(cluster, WITH);
  await makeNamespace(cluster, WITHOUT);
});
after(async () => {
  await deleteNamespace(cluster, WITH);
  await deleteNamespace(cluster, WITHOUT);
});

describe("under STRICT mutual TLS", () => {
  before(async () => {
    await cluster.apply([
      {
        apiVersion: "heddle.dev/v1alpha1",
        kind: "PeerAuthentication",
        metadata: { name: "strict", namespace: WITH },
        spec: { mode: "STRICT" },
      },
      podOf(WITH, "probed", {
        annotations: {
          "prometheus.io/scrape": "true",
          "prometheus.io/port": "8080",
          "prometheus.io/path": "/own-metrics",
        },
        container: {
          ports: [{ name: "web", containerPort: 8080 }],
          startupProbe: {
            httpGet: { path: "/host", port: "web", httpHeaders: [{ name: "Host", value: "probe.example" }] },
            periodSeconds: 1,
            failureThreshold: 60,
          },
          readinessProbe: { grpc: { port: 9000 }, periodSeconds: 1, timeoutSeconds: 5 },
          livenessProbe: { tcpSocket: { port: 7000 }, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 5 },
          lifecycle: { preStop: { httpGet: { path: "/bye", port: "web" } } },
        },
      }),
    ]);
  });

  it("httpGet, grpc and tcpSocket probes find the application", async () => {
    await untilPodIsReady(cluster, WITH, "probed");
    assert.equal(await restartsOf("probed"), 0, await explainPods(cluster, WITH, ["probed"]));
  });

  it("and nobody else does in plaintext", async () => {
    const ip = await statusOf("probed", "podIP");
    await assert.rejects(fetch(`http://${ip}:8080/`, { signal: AbortSignal.timeout(10_000) }), /fetch failed/);
  });

  it("Prometheus finds the application's metrics behind the proxy's", async () => {
    const ip = await statusOf("probed", "podIP");
    const text = await (await fetch(`http://${ip}:15020/metrics`)).text();
    assert.match(text, /^heddle_config_info\{/m);
    assert.match(text, /^own_orders_total 7$/m);
    assert.match(text, /^heddle_application_metrics_up 1$/m);
  });

  // Each kind of probe in each of its ways, each of the application's ports by number and by name.
  const ways = {
    httpGet: { httpGet: { path: "/host", port: "web", httpHeaders: [{ name: "Host", value: "probe.example" }] } },
    HTTPS: {
      httpGet: { path: "/sure", port: "sure", scheme: "HTTPS", httpHeaders: [{ name: "X-Probe", value: "yes" }] },
    },
    tcpSocket: { tcpSocket: { port: "bare" } },
    grpc: { grpc: { port: 9000 } },
  };
  const ports = [
    { name: "web", containerPort: 8080 },
    { name: "sure", containerPort: 8443 },
    { name: "bare", containerPort: 7000 },
  ];
  const times = { periodSeconds: 1, timeoutSeconds: 5 };

  it("startup, readiness and liveness are probed in every way", async () => {
    const validity = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
    const leaf = await makeServerLeaf(await makeRoot("nobody knows it", validity), ["elsewhere"], [], validity);
    const env = [
      { name: "CERT", value: leaf.certificatePem },
      { name: "KEY", value: leaf.keyPem },
    ];
    const names = Object.keys(ways).map((way) => `probed-${way.toLowerCase()}`);
    await cluster.apply(
      Object.values(ways).map((way, index) =>
        podOf(WITH, names[index] ?? "", {
          container: {
            env,
            ports,
            startupProbe: { ...way, ...times, failureThreshold: 120 },
            readinessProbe: { ...way, ...times },
            livenessProbe: { ...way, ...times, failureThreshold: 30 },
          },
        }),
      ),
    );
    for (const name of names) {
      await untilPodIsReady(cluster, WITH, name);
      assert.equal(await restartsOf(name), 0, await explainPods(cluster, WITH, [name]));
    }
    const paths = await cluster.kubectl("-n", WITH, "get", "pod", "probed-https", "-o", "jsonpath={..httpGet.path}");
    assert.match(paths, /\/probes\/app\/startup/);
  });

  it("a probe that the application fails is failed", async () => {
    const failing = { httpGet: { path: "/fails", port: 8080 }, ...times };
    await cluster.apply([podOf(WITH, "failing", { container: { readinessProbe: failing } })]);
    await until(
      "the application is asked and the pod stays unready",
      async () => {
        const events = await cluster.kubectl(
          "-n",
          WITH,
          "get",
          "events",
          "--field-selector",
          "involvedObject.name=failing",
        );
        return /Readiness probe failed.*statuscode: 500/.test(events);
      },
      120_000,
    );
  });

  it("a postStart hook is done, and a hook for nobody who does not know its path", async () => {
    const hook = (path: string): object => ({ httpGet: { path, port: "web" } });
    const lifecycle = { postStart: hook("/begin"), preStop: hook("/end") };
    // A hook comes with the start of its container, and is not tried again: this application listens before it counts as started.
    const waits = { name: "waits", image: BASE_IMAGE, restartPolicy: "Always", command: ["node", "-e", APPLICATION] };
    const startupProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 120 };
    const container = { ports, lifecycle, command: ["sleep", "3600"] };
    const spec = { initContainers: [{ ...waits, startupProbe }], terminationGracePeriodSeconds: 5 };
    await cluster.apply([podOf(WITH, "hooked", { container, spec })]);
    await untilPodIsReady(cluster, WITH, "hooked");
    const asked = async (): Promise<string> =>
      execInPod(cluster, WITH, "hooked", ["wget", "-qO-", "http://127.0.0.1:8080/asked"], "waits");
    assert.match(await asked(), /"\/begin":1/);
    const ip = await statusOf("hooked", "podIP");
    for (const path of ["/probes/app/preStop", "/probes/x/app/preStop", "/probes/"]) {
      const answer = await fetch(`http://${ip}:15020${path}`);
      assert.equal(answer.status, 404);
      assert.doesNotMatch(await answer.text(), /preStop\n/);
    }
    assert.doesNotMatch(await asked(), /\/end/);
    const path = "jsonpath={.spec.containers[0].lifecycle.preStop.httpGet.path}";
    const known = await cluster.kubectl("-n", WITH, "get", "pod", "hooked", "-o", path);
    assert.match(known, /^\/probes\/[0-9a-f]{32}\/app\/preStop$/);
    assert.equal((await fetch(`http://${ip}:15020${known}`)).status, 200);
    assert.match(await asked(), /"\/end":1/);
  });

  it("the control plane counts the pods that it was asked about", async () => {
    const where = ["-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=heddle-control-plane"];
    const ips = await cluster.kubectl(...where, "-o", "jsonpath={.items[*].status.podIP}");
    const counts = await Promise.all(
      ips.split(" ").map(async (ip) => {
        const text = await (await fetch(`http://${ip}:15014/metrics`)).text();
        return Number(/^heddle_injections_total\{result="injected"\} (\d+)$/m.exec(text)?.[1] ?? "NaN");
      }),
    );
    assert.ok(counts.reduce((sum, count) => sum + count, 0) > 0, counts.join());
  });

  it("a tcpSocket probe fails when the application's port is dead though the proxy accepts", async () => {
    await execInPod(cluster, WITH, "probed", ["wget", "-qO-", "http://127.0.0.1:8080/close"], "app");
    await until("the application is restarted", async () => (await restartsOf("probed")) > 0, 120_000);
    assert.equal(await restartsOfProxy("probed"), 0);
  });
});

describe("the life of a pod with a sidecar", () => {
  it("a Job completes", async () => {
    const container = { name: "work", image: BASE_IMAGE, command: ["node", "-e", "setTimeout(() => {}, 500)"] };
    const template = { spec: { restartPolicy: "Never", containers: [container] } };
    const metadata = { name: "work", namespace: WITH };
    await cluster.apply([{ apiVersion: "batch/v1", kind: "Job", metadata, spec: { backoffLimit: 0, template } }]);
    await cluster.kubectl("-n", WITH, "wait", "--for=condition=Complete", "job/work", "--timeout=120s");
    const names = "jsonpath={.items[0].spec.initContainers[*].name}";
    assert.match(await cluster.kubectl("-n", WITH, "get", "pods", "-l", "job-name=work", "-o", names), /heddle-proxy/);
  });

  it("a crash of the application restarts the application alone, and the pod is ready again", async () => {
    await cluster.apply([podOf(WITH, "crashing")]);
    await untilPodIsReady(cluster, WITH, "crashing");
    await execInPod(cluster, WITH, "crashing", ["wget", "-qO-", "http://127.0.0.1:8080/crash"], "app").catch(() => "");
    await until("the application is restarted", async () => (await restartsOf("crashing")) === 1, 120_000);
    await untilPodIsReady(cluster, WITH, "crashing");
    assert.equal(await restartsOfProxy("crashing"), 0);
  });

  it("a plain sidecar is ready before the application starts", async () => {
    await cluster.apply([podOf(WITH, "plain", { annotations: { "heddle.dev/native-sidecar": "false" } })]);
    await untilPodIsReady(cluster, WITH, "plain");
    const started = async (name: string): Promise<number> =>
      Date.parse(await statusOf("plain", `containerStatuses[?(@.name=="${name}")].state.running.startedAt`));
    assert.ok((await started("app")) >= (await started("heddle-proxy")));
    const names = await cluster.kubectl("-n", WITH, "get", "pod", "plain", "-o", "jsonpath={.spec.containers[*].name}");
    assert.equal(names, "heddle-proxy app");
  });
});

describe("Pod Security restricted", () => {
  it("refuses a pod whose rules an init container would write, and its ReplicaSet's events say why", async () => {
    const name = "injection-restricted";
    await makeMeshNamespace(cluster, name, { "pod-security.kubernetes.io/enforce": "restricted" });
    try {
      const securityContext = {
        runAsNonRoot: true,
        runAsUser: 1000,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        seccompProfile: { type: "RuntimeDefault" },
      };
      const template = {
        metadata: { labels: { app: "a" } },
        spec: { containers: [{ name: "app", image: "a", securityContext }] },
      };
      const spec = { replicas: 1, selector: { matchLabels: { app: "a" } }, template };
      await cluster.apply([
        { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "a", namespace: name }, spec },
      ]);
      let events = "";
      await until(
        "there is an event",
        async () => {
          events = await cluster.kubectl("-n", name, "get", "events", "-o", "jsonpath={.items[*].message}");
          return /forbidden/.test(events);
        },
        60_000,
      );
      assert.match(events, /violates PodSecurity "restricted:latest".*heddle-init.*NET_ADMIN/);
    } finally {
      await deleteNamespace(cluster, name);
    }
  });
});

describe("localhost mode", () => {
  it("a pod without interception calls a service in the mesh by a port of its own localhost", async () => {
    const ports = [{ name: "http", port: 80, targetPort: 8080 }];
    const metadata = { name: "called", namespace: WITH };
    const annotations = { "heddle.dev/interception": "none", "heddle.dev/upstreams": "called:80:15101" };
    await cluster.apply([
      { apiVersion: "v1", kind: "Service", metadata, spec: { selector: { app: "called" }, ports } },
      podOf(WITH, "called"),
      podOf(WITH, "caller", { annotations }),
    ]);
    await untilPodIsReady(cluster, WITH, "called");
    await untilPodIsReady(cluster, WITH, "caller");
    const call = async (): Promise<string> =>
      execInPod(cluster, WITH, "caller", ["wget", "-qO-", "http://127.0.0.1:15101/"], "app").catch(String);
    let answer = "";
    const isAnswered = async (): Promise<boolean> => (answer = await call()) === "ok";
    await until("the service answers", isAnswered, 60_000).catch((cause: unknown) => {
      throw new Error(`The caller got: ${answer}`, { cause });
    });
  });
});

describe("the start of a pod", () => {
  it(`takes ${GOAL_MS / 1000} s longer with a sidecar, or less; ${LIMIT_MS / 1000} s are too much`, async (test) => {
    const differences: number[] = [];
    for (let pair = 0; pair < PAIRS; pair++) {
      // Which comes first changes, so that what the first warms does not favour one side.
      const order = pair % 2 === 0 ? [WITH, WITHOUT] : [WITHOUT, WITH];
      const took = new Map<string, number>();
      // One after the other: two starts at once would disturb each other.
      for (const namespace of order) took.set(namespace, await timeStart(namespace, `pair-${pair}`));
      differences.push((took.get(WITH) ?? 0) - (took.get(WITHOUT) ?? 0));
    }
    const sorted = differences.toSorted((left, right) => left - right);
    const median = ((sorted[PAIRS / 2 - 1] ?? 0) + (sorted[PAIRS / 2] ?? 0)) / 2;
    test.diagnostic(
      `a sidecar adds ${Math.round(median)} ms (median of ${PAIRS}: ${sorted.map(Math.round).join(", ")})`,
    );
    assert.ok(median < LIMIT_MS, `the median is ${median} ms`);
  });
});

/** From before it is made until it is ready, in ms. */
async function timeStart(namespace: string, name: string): Promise<number> {
  const began = performance.now();
  await cluster.apply([podOf(namespace, name)]);
  await cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", `pod/${name}`, "--timeout=120s");
  const took = performance.now() - began;
  await cluster.kubectl("-n", namespace, "delete", "pod", name, "--wait=false");
  return took;
}
