// The chart in a cluster: install, helm test, upgrade under load, least rights, no control plane at all, uninstall with applications
// still answering, and an installation that takes up what the last one left.
// Time limit: 600 s.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { installGatewayApi, installMesh, makeMeshNamespace, SYSTEM_NAMESPACE } from "./mesh.ts";
import { deleteNamespace, execInPod, explainPods, makeNamespace, untilRolledOut } from "./pods.ts";

const root = path.join(import.meta.dirname, "../..");
const chart = path.join(root, "charts/heddle");
const cluster = Cluster.join();
const shop = "chart-shop";
const outside = "chart-outside";
const controlPlane = "deployment/heddle-control-plane";
const account = `system:serviceaccount:${SYSTEM_NAMESPACE}:heddle-control-plane`;

/** Runs in a pod of the caller: asks again and again until its input ends, then says how often it was answered, and how else. */
const asking = `
let isOver = false;
process.stdin.on("end", () => (isOver = true)).resume();
const failures = {};
let answered = 0;
while (!isOver) {
  try {
    const answer = await fetch("http://hello-v1/");
    const text = await answer.text();
    if (answer.status === 200 && text === "hello from v1\\n") answered++;
    else failures[answer.status + " " + text.slice(0, 200)] = (failures[answer.status + " " + text.slice(0, 200)] ?? 0) + 1;
  } catch (error) {
    const what = String(error.cause ?? error);
    failures[what] = (failures[what] ?? 0) + 1;
  }
  if (answered === 1) console.error("begun");
  await new Promise((resolve) => setTimeout(resolve, 2));
}
console.log(JSON.stringify({ answered, failures }));
`;

interface Answers {
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** What the caller was answered while `event` happened; requests begin before and end after it. */
async function during(event: () => Promise<void>): Promise<Answers> {
  const exec = ["kubectl", "exec", "-i", "-n", shop, "deployment/caller", "-c", "caller", "--"];
  const [file = "", ...args] = cluster.command([...exec, "/nodejs/bin/node", "--input-type=module", "-e", asking]);
  const child: ChildProcess = spawn(file, args, { env: cluster.env, stdio: ["pipe", "pipe", "pipe"] });
  let printed = "";
  let complaints = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (printed += text));
  const ended = once(child, "exit");
  const begun = new Promise<void>((resolve) => {
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaints += text;
      if (complaints.includes("begun")) resolve();
    });
  });
  try {
    await Promise.race([begun, ended]);
    await event();
  } finally {
    child.stdin?.end();
  }
  await ended;
  assert.notEqual(printed, "", complaints);
  return JSON.parse(printed) as Answers; // as: printed by the program above
}

async function ask(url = "http://hello-v1/"): Promise<string> {
  const script = `fetch(${JSON.stringify(url)}).then(async (r) => console.log(r.status, (await r.text()).trim()), (e) => console.log(String(e.cause ?? e)))`;
  return (await execInPod(cluster, shop, "deployment/caller", ["/nodejs/bin/node", "-e", script], "caller")).trim();
}

async function bundles(): Promise<string> {
  const path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
  return cluster.kubectl("get", "mutatingwebhookconfiguration", "heddle-injector", "-o", path);
}

async function uninstall(): Promise<void> {
  await cluster.helm("uninstall", "heddle", "-n", SYSTEM_NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "3m");
}

/** Makes a pod that does nothing; gives what the API server said. */
async function tryPod(namespace: string, name: string, ...args: readonly string[]): Promise<string> {
  const command = ["run", name, "-n", namespace, "--image=heddle/proxy:0.1.0", "--dry-run=server", "-o=name", ...args];
  return (await cluster.kubectl(...command).catch((error: unknown) => String(error))).trim();
}

async function mayIt(verb: string, resource: string, ...args: readonly string[]): Promise<boolean> {
  const command = ["auth", "can-i", verb, resource, `--as=${account}`, ...args];
  return (await cluster.kubectl(...command).catch(() => "no")).trim().startsWith("yes");
}

before(async () => {
  await uninstall();
  await installMesh(cluster);
  await makeMeshNamespace(cluster, shop);
  await makeNamespace(cluster, outside);
  await cluster.apply(readFileSync(path.join(root, "examples/kubernetes/hello.yaml"), "utf8"), "-n", shop);
  await untilRolledOut(cluster, shop, "deployment/hello-v1", "deployment/hello-v2", "deployment/caller");
});

after(async () => {
  await deleteNamespace(cluster, shop);
  await deleteNamespace(cluster, outside);
});

describe("the installed chart", () => {
  it("passes helm test, each of its checks", async () => {
    const printed = await cluster
      .helm("test", "heddle", "-n", SYSTEM_NAMESPACE, "--logs", "--timeout", "2m")
      .catch(async (cause: unknown) => {
        throw new Error(await explainPods(cluster, SYSTEM_NAMESPACE), { cause });
      });
    assert.equal(printed.match(/^ok /gm)?.length, 4, printed);
  });

  it("brings a namespace's applications into the mesh, which answer each other", async () => {
    const names = "jsonpath={.items[*].spec['containers','initContainers'][*].name}";
    const containers = await cluster.kubectl("get", "pods", "-n", shop, "-l", "app=hello", "-o", names);
    assert.equal(containers.match(/heddle-proxy/g)?.length, 3, containers);
    assert.equal(await ask(), "200 hello from v1");
    assert.equal(await ask("http://hello-v2.chart-shop.svc.cluster.local/"), "200 hello from v2");
  });

  it("has the rights that it uses, as its log shows no refusal", async () => {
    const log = await cluster.kubectl(
      "logs",
      "-n",
      SYSTEM_NAMESPACE,
      "-l",
      "app.kubernetes.io/name=heddle-control-plane",
      "--tail=-1",
    );
    assert.doesNotMatch(log, /forbidden|Forbidden|\b403\b/);
    assert.match(log, /"ready"/);
  });

  it("has no right that would hand over the cluster", async () => {
    assert.equal(await mayIt("watch", "pods", "-A"), true, "the question itself works");
    const tooMuch: readonly (readonly [string, string, ...string[]])[] = [
      ["get", "secrets", "-A"],
      ["list", "secrets", "-n", SYSTEM_NAMESPACE],
      ["get", "secrets/other", "-n", SYSTEM_NAMESPACE],
      ["create", "pods", "-A"],
      ["create", "pods/exec", "-A"],
      ["patch", "deployments", "-A"],
      ["update", "configmaps/other", "-A"],
      ["delete", "configmaps/heddle-roots", "-A"],
      ["patch", "mutatingwebhookconfigurations/other"],
      ["create", "mutatingwebhookconfigurations"],
      ["create", "clusterrolebindings"],
      ["update", "httproutes.gateway.networking.k8s.io", "-A"],
      ["create", "serviceaccounts/token", "-A"],
    ];
    for (const [verb, resource, ...args] of tooMuch)
      assert.equal(await mayIt(verb, resource, ...args), false, `${verb} ${resource}`);
  });

  it("loses no request while it is upgraded, and keeps the webhook's bundle", async () => {
    const before = await bundles();
    const options = ["--namespace", SYSTEM_NAMESPACE, "--reset-then-reuse-values", "--wait", "--timeout", "4m"];
    const { answered, failures } = await during(async () => {
      // The bundle right after the objects were written, before any leader of the new replicas could mend it.
      await cluster.helm("upgrade", "heddle", chart, ...options.slice(0, 3), "--set", "proxy.logLevel=warn");
      assert.equal(await bundles(), before);
      await untilRolledOut(cluster, SYSTEM_NAMESPACE, controlPlane);
    });
    assert.deepEqual(failures, {});
    assert.ok(answered > 100, `${answered} requests`);
    assert.equal(await bundles(), before);
    assert.equal(await ask(), "200 hello from v1");
  });

  it("gives new pods the new settings", async () => {
    const levels = "jsonpath={.items[*].spec.initContainers[*].env[?(@.name=='HEDDLE_LOG_LEVEL')].value}";
    // A replica that is being replaced answers until the API server has heard of it.
    await until(
      "new pods have the new log level",
      async () => {
        await cluster.kubectl("rollout", "restart", "-n", shop, "deployment/hello-v2");
        await untilRolledOut(cluster, shop, "deployment/hello-v2");
        return (await cluster.kubectl("get", "pods", "-n", shop, "-l", "version=v2", "-o", levels)).includes("warn");
      },
      60_000,
    );
  });

  it("holds up nobody who did not ask, while no replica runs", async () => {
    await cluster.kubectl("scale", "-n", SYSTEM_NAMESPACE, controlPlane, "--replicas=0");
    await cluster.exec(
      [
        "kubectl",
        "wait",
        "-n",
        SYSTEM_NAMESPACE,
        "--for=delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=heddle-control-plane",
      ],
      { timeoutMs: 90_000 },
    );
    assert.match(await tryPod(shop, "asked"), /failed calling webhook "namespace\.injector\.heddle\.dev"/);
    assert.equal(await tryPod(shop, "off", "--annotations=heddle.dev/inject=disabled"), "pod/off");
    assert.equal(await tryPod(shop, "off-by-label", "--labels=heddle.dev/inject=false"), "pod/off-by-label");
    assert.equal(await tryPod(shop, "on-the-node", '--overrides={"spec":{"hostNetwork":true}}'), "pod/on-the-node");
    assert.equal(await tryPod(outside, "plain"), "pod/plain");
    assert.match(await tryPod(outside, "asked", "--labels=heddle.dev/inject=true"), /"pod\.injector\.heddle\.dev"/);
    assert.match(
      await tryPod(outside, "asked", "--annotations=heddle.dev/inject=enabled"),
      /"pod\.injector\.heddle\.dev"/,
    );
    assert.equal(await ask(), "200 hello from v1");
    await cluster.kubectl("scale", "-n", SYSTEM_NAMESPACE, controlPlane, "--replicas=2");
    await untilRolledOut(cluster, SYSTEM_NAMESPACE, controlPlane);
  });
});

describe("helm uninstall", () => {
  it("loses no request of those who have a sidecar", async () => {
    const kept = { apiVersion: "heddle.dev/v1alpha1", kind: "PeerAuthentication", metadata: { name: "kept" } };
    await cluster.apply([{ ...kept, spec: { mode: "PERMISSIVE" } }], "-n", shop);
    const { answered, failures } = await during(uninstall);
    assert.deepEqual(failures, {});
    assert.ok(answered > 20, `${answered} requests`);
    assert.equal(await ask(), "200 hello from v1");
  });

  it("takes the webhook away, so that pods start without a sidecar", async () => {
    await assert.rejects(bundles(), /not found/);
    assert.equal(await tryPod(shop, "plain"), "pod/plain");
  });

  it("leaves what users made, and what a next installation needs", async () => {
    assert.match(await cluster.kubectl("get", "peerauthentication", "kept", "-n", shop, "-o=name"), /kept/);
    assert.match(await cluster.kubectl("get", "secret", "heddle-ca", "-n", SYSTEM_NAMESPACE, "-o=name"), /heddle-ca/);
    const left = await cluster.kubectl(
      "get",
      "clusterroles,clusterrolebindings,mutatingwebhookconfigurations",
      "-o=name",
    );
    assert.doesNotMatch(left, /heddle/);
  });

  it("is followed by an installation whose mesh goes on with the old sidecars", async () => {
    await installGatewayApi(cluster);
    const { failures } = await during(async () => installMesh(cluster));
    // A new sidecar and the old ones trust the same root.
    await cluster.kubectl("rollout", "restart", "-n", shop, "deployment/hello-v2");
    await untilRolledOut(cluster, shop, "deployment/hello-v2");
    assert.equal(await ask(), "200 hello from v1");
    assert.deepEqual(failures, {});
  });
});
