// Watching a real API server: the suite of registries, restarts of the server, two control planes with the least rights, statuses.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { startControlPlane, type ControlPlane } from "#control-plane/app.ts";
import { KubernetesClient } from "#control-plane/kubernetes/client.ts";
import { fieldsOf, objectsOf, textOf } from "#control-plane/kubernetes/objects.ts";
import { KubernetesRegistry } from "#control-plane/registry/kubernetes/kubernetes-registry.ts";
import { clusterObjects } from "#control-plane/registry/kubernetes/testing/cluster.ts";
import { RecordingSink, registrySuite, type SourceService } from "#control-plane/registry/testing/suite.ts";
import { parseSettings } from "#control-plane/settings.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";

import { until } from "../wire/until.ts";
import { ApiServer } from "./cluster/api-server.ts";
import { getGatewayApiFolder } from "./cluster/parts.ts";

const ROOT = path.join(import.meta.dirname, "..", "..");
const USER = "system:serviceaccount:heddle-system:heddle-control-plane";
const parts = { clock: systemClock, random: systemRandom, log: silentLog };

// Not in a hook: the suite's tests have 10 s each, and its start would count.
const api = await ApiServer.start();
const admin = KubernetesClient.fromText(fs.readFileSync(api.kubeconfig, "utf8"));
for (const namespace of ["heddle-system", "shop"]) await makeNamespace(namespace);

after(async () => {
  admin.close();
  await api.stop();
});

async function makeNamespace(name: string): Promise<void> {
  await admin.request({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
  // No controller makes it here, and pods are refused without.
  const path = `/api/v1/namespaces/${name}/serviceaccounts`;
  await admin.request({ method: "POST", path, body: { metadata: { name: "default" } } });
}

async function apply(object: object): Promise<void> {
  await api.kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"], JSON.stringify(object));
}

/** As the controllers and the kubelet would. */
async function putService(service: SourceService): Promise<void> {
  for (const { collection, object } of clusterObjects(service)) {
    const { namespace, name } = object.metadata;
    const base = collection.replace(/\/([a-z]+)$/, `/namespaces/${namespace}/$1/${name}`);
    const patch = { method: "PATCH", query: { fieldManager: "test", force: true } } as const;
    const { status, ...rest } = object;
    await admin.request({ ...patch, path: base, contentType: "application/apply-patch+yaml", body: rest });
    if (status === undefined) continue;
    const contentType = "application/merge-patch+json";
    await admin.request({ ...patch, query: {}, path: `${base}/status`, contentType, body: { status } });
  }
}

async function clearShop(): Promise<void> {
  await api.kubectl(["delete", "services,endpointslices,pods", "--all", "-n", "shop", "--grace-period=0", "--force"]);
}

/** A way to the API server that can be cut. */
class Relay {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #isCut = false;
  readonly port: number;

  private constructor(server: net.Server) {
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port; // as: it listens on TCP
  }

  static async start(target: URL): Promise<Relay> {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const relay = new Relay(server);
    server.on("connection", (socket) => {
      if (relay.#isCut) {
        socket.destroy();
        return;
      }
      const onward = net.connect(Number(target.port), target.hostname);
      for (const one of [socket, onward]) {
        relay.#sockets.add(one);
        one.on("error", () => undefined);
        one.on("close", () => {
          relay.#sockets.delete(one);
          socket.destroy();
          onward.destroy();
        });
      }
      socket.pipe(onward).pipe(socket);
    });
    return relay;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  join(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function clientThrough(port: number, user = ""): KubernetesClient {
  return KubernetesClient.fromText(configThrough(port, user));
}

function configThrough(port: number, user: string): string {
  const text = fs
    .readFileSync(api.kubeconfig, "utf8")
    .replace(/https:\/\/127\.0\.0\.1:\d+/, `https://127.0.0.1:${port}`);
  if (user === "") return text;
  // The administrator speaks for it: with its rights, and no others.
  const config = JSON.parse(text) as { users: { user: Record<string, unknown> }[] }; // as: what credentials.ts wrote
  for (const one of config.users) one.user["as"] = user;
  return JSON.stringify(config);
}

registrySuite("kubernetes registry at a real API server", async () => {
  await clearShop();
  const relay = await Relay.start(new URL(admin.server));
  const clients: KubernetesClient[] = [];
  return {
    makeRegistry() {
      const client = clientThrough(relay.port);
      clients.push(client);
      return new ShopRegistry({ client, ...parts });
    },
    put: putService,
    async remove(key) {
      await api.kubectl(["delete", "service", "-n", "shop", key.slice("shop/".length)]);
    },
    breakSource: async () => relay.cut(),
    healSource: async () => relay.join(),
    async close() {
      for (const client of clients) client.close();
      await relay.close();
    },
  };
});

/** Without the API server's own Service. */
class ShopRegistry extends KubernetesRegistry {
  override watch(sink: Parameters<KubernetesRegistry["watch"]>[0]): ReturnType<KubernetesRegistry["watch"]> {
    return super.watch({
      replace: (services, workloads) =>
        sink.replace(
          services.filter(({ namespace }) => namespace === "shop"),
          workloads,
        ),
      change: (changed, removed, workloads) =>
        sink.change(
          changed.filter(({ namespace }) => namespace === "shop"),
          removed,
          workloads,
        ),
      fail: (error) => sink.fail(error),
    });
  }
}

describe("a restart of the API server", () => {
  it("empties nothing, and what changes after it is told", async () => {
    await clearShop();
    await putService({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
    const client = KubernetesClient.fromText(fs.readFileSync(api.kubeconfig, "utf8"));
    const sink = new RecordingSink();
    const watch = new ShopRegistry({ client, ...parts }).watch(sink);
    try {
      await until("the first word", () => sink.summary[0] === "shop/a: a-1=1");
      for (const weight of [2, 3]) {
        await api.restart();
        await putService({ namespace: "shop", name: "a", weights: { "a-1": weight } });
        await until("the change after the restart", () => sink.summary[0] === `shop/a: a-1=${weight}`, 60_000);
      }
      assert.ok(sink.failures.length > 0);
      assert.equal(sink.fewest, 1);
    } finally {
      await watch.close();
      client.close();
    }
  });
});

describe("two control planes with the rights of control-plane/kubernetes/README.md", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-watch-"));
  const planes = new Map<string, ControlPlane>();

  before(async () => {
    await clearShop();
    for (const file of fs.readdirSync(path.join(ROOT, "config/crds")))
      await api.kubectl(["apply", "-f", path.join(ROOT, "config/crds", file)]);
    for (const rule of rights()) await apply(rule);
    const kubeconfig = path.join(folder, "kubeconfig");
    fs.writeFileSync(kubeconfig, configThrough(Number(new URL(admin.server).port), USER));
    process.env["KUBECONFIG"] = kubeconfig;
  });

  after(async () => {
    for (const plane of planes.values()) await plane.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  async function startPlane(name: string): Promise<ControlPlane> {
    const addresses = ["xds", "secure", "metrics"].flatMap((port) => [`--${port}-address`, "127.0.0.1:0"]);
    const settings = parseSettings(["--kubernetes", "--state", path.join(folder, name), ...addresses], {
      POD_NAME: name,
      POD_NAMESPACE: "heddle-system",
    });
    const plane = await startControlPlane({ ...parts, version: "0.1.0", settings: { ...settings, drainMs: 0 } });
    planes.set(name, plane);
    return plane;
  }

  it("start without the Gateway API, and agree on one leader", async () => {
    await Promise.all(["one", "two"].map(startPlane));
    await until("a leader", async () => (await holder()) !== "");
    assert.match(await holder(), /^(one|two)_/);
  });

  it(
    "read routes as soon as their kinds are installed, and say what became of them",
    { timeout: 120_000 },
    async () => {
      const definitions = await getGatewayApiFolder();
      await api.kubectl(["apply", "--server-side", "--force-conflicts", "-k", definitions]);
      await api.kubectl(["wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io"]);
      await putService({ namespace: "shop", name: "cart", weights: { "cart-1": 1 } });
      await apply(route("cart"));
      await apply(policy("cart"));
      await until(
        "the route's status",
        async () => (await statusOf("httproute")) === "Accepted=True ResolvedRefs=True Programmed=True @1",
        60_000,
      );
      await until("the policy's status", async () =>
        (await statusOf("peerauthentication")).startsWith("Accepted=True"),
      );
      await apply(route("nobody"));
      await until("the changed route's status", async () => /ResolvedRefs=False.*@2/.test(await statusOf("httproute")));
    },
  );

  it(
    "leave one another's work to the other: when the leader ends, the other writes",
    { timeout: 120_000 },
    async () => {
      const leader = await holder();
      const [name = ""] = leader.split("_");
      await planes.get(name)?.stop();
      assert.ok(planes.delete(name));
      await until("another leader", async () => !["", leader].includes(await holder()));
      await apply(route("cart"));
      await until("the route's status", async () => (await statusOf("httproute")).endsWith(" @3"));
    },
  );

  it("go on after a restart of the API server", { timeout: 180_000 }, async () => {
    await api.restart();
    await apply(route("nobody"));
    await until("the route's status", async () => (await statusOf("httproute")).endsWith(" @4"), 60_000);
    const metrics = await (await fetch(`http://127.0.0.1:${[...planes.values()][0]?.metricsPort}/metrics`)).text();
    assert.match(metrics, /heddle_registry_stale_seconds\{registry="kubernetes"\} 0\n/);
  });
});

async function holder(): Promise<string> {
  const path = "/apis/coordination.k8s.io/v1/namespaces/heddle-system/leases/heddle-leader";
  const lease = await admin.request({ path }).catch(() => undefined);
  return textOf(fieldsOf(fieldsOf(lease)["spec"])["holderIdentity"]);
}

/** `Accepted=True ... @GENERATION`. */
async function statusOf(kind: string): Promise<string> {
  const object: unknown = JSON.parse(await api.kubectl(["get", kind, "cart", "-n", "shop", "-o", "json"]));
  const status = fieldsOf(fieldsOf(object)["status"]);
  const [parent = status] = objectsOf(status["parents"]);
  const conditions = objectsOf(parent["conditions"]);
  const texts = conditions.map((condition) => `${textOf(condition["type"])}=${textOf(condition["status"])}`);
  return [...texts, `@${String(conditions[0]?.["observedGeneration"])}`].join(" ");
}

function route(backend: string): object {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { namespace: "shop", name: "cart" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "cart", port: 8080 }],
      rules: [{ backendRefs: [{ name: backend, port: 8080 }] }],
    },
  };
}

function policy(service: string): object {
  return {
    apiVersion: "heddle.dev/v1alpha1",
    kind: "PeerAuthentication",
    metadata: { namespace: "shop", name: "cart" },
    spec: { targetRefs: [{ group: "", kind: "Service", name: service }], mode: "STRICT" },
  };
}

/** The table of rights as roles for `USER`. */
function rights(): readonly object[] {
  const page = fs.readFileSync(path.join(ROOT, "control-plane/kubernetes/README.md"), "utf8");
  const rows = [...page.matchAll(/^\|([^|]*)\|([^|]*)\|([^|]*)\| (cluster|heddle-system) \|/gm)].map(
    ([, group = "", resources = "", verbs = "", where = ""]) => ({ group, resources, verbs, where }),
  );
  assert.ok(rows.length > 8, "the table of rights was not found");
  const split = (text: string): string[] => text.split(",").map((word) => word.trim());
  return ["cluster", "heddle-system"].flatMap((where) => {
    const inside = where === "cluster" ? {} : { namespace: where };
    const [role, binding] = where === "cluster" ? ["ClusterRole", "ClusterRoleBinding"] : ["Role", "RoleBinding"];
    const rules = rows
      .filter((row) => row.where === where)
      .map(({ group, resources, verbs }) => {
        const [, name] = /`([^`]+)`/.exec(resources) ?? [];
        return {
          apiGroups: [group.trim()],
          resources: split(resources.replace(/`[^`]+`/, "")),
          verbs: split(verbs),
          ...(name === undefined ? {} : { resourceNames: [name] }),
        };
      });
    const api = "rbac.authorization.k8s.io";
    return [
      { apiVersion: `${api}/v1`, kind: role, metadata: { name: "test", ...inside }, rules },
      {
        apiVersion: `${api}/v1`,
        kind: binding,
        metadata: { name: "test", ...inside },
        roleRef: { apiGroup: api, kind: role, name: "test" },
        subjects: [{ apiGroup: api, kind: "User", name: USER }],
      },
    ];
  });
}
