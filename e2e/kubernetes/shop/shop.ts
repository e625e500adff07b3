// The shop in a cluster: its applications with sidecars, a shopper and a stranger who call it, and the means to look and to disturb.
import fs from "node:fs";
import path from "node:path";
import { parseAllDocuments } from "yaml";

import type { Fault } from "../../../examples/shop/kit/faults.ts";
import { until } from "../../wire/until.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { makeMeshNamespace } from "../mesh.ts";
import { deleteNamespace, execInPod, untilPodIsReady, untilRolledOut } from "../pods.ts";
import type { CallOrder } from "./caller.ts";

export const SHOP = path.join(import.meta.dirname, "..", "..", "..", "examples", "shop");
export const NAMESPACE = "shop";
/** Where the test collects spans: at the node. */
export const OTLP = { address: "10.77.0.1", port: 4318 } as const;
/** The callers' relay is asked by the test, which is not in the mesh: their sidecars leave this port alone. */
export const RELAY_PORT = 7900;
/** Nothing listens there. */
const DEAD = { address: "10.77.0.1", port: 7901 } as const;
const CALLERS = ["shopper", "stranger"] as const;
type Caller = (typeof CALLERS)[number];

const IDENTITY = "spiffe://cluster.local/ns/shop/sa";

/** What the laptop's MeshConfig says, with accounts in place of its listeners. */
const MESH_CONFIG = {
  apiVersion: "heddle.dev/v1alpha1",
  kind: "MeshConfig",
  metadata: { name: "default" },
  spec: {
    trustDomain: "cluster.local",
    outboundMtls: "auto",
    tracing: {
      samplingPercent: 1,
      otlp: { endpoint: `http://${OTLP.address}:${OTLP.port}`, protocol: "http" },
    },
    tenants: {
      labelKey: "tenant",
      isolate: true,
      withoutTenant: "deny",
      sources: [
        {
          header: {
            name: "x-tenant",
            trusted: {
              identities: ["shopper", "storefront", "catalog", "orders"].map((name) => `${IDENTITY}/${name}`),
            },
            onUntrusted: "refuse",
          },
        },
      ],
    },
  },
};

/** Deploys it and waits until everything is ready. The mesh is installed already. */
export async function deployShop(cluster: Cluster): Promise<ShopInCluster> {
  await makeMeshNamespace(cluster, NAMESPACE);
  await cluster.apply([MESH_CONFIG, ...readPolicies()]);
  await cluster.apply(fs.readFileSync(path.join(SHOP, "kubernetes", "apps.yaml"), "utf8"), "-n", NAMESPACE);
  await cluster.apply([...CALLERS.flatMap(makeCaller), ...["suggestions", "vault"].flatMap(makeDeadService)]);
  const shop = new ShopInCluster(cluster);
  await shop.untilReady();
  return shop;
}

/** Routes and policies of the laptop's shop. Its ServiceEntries are Services here. */
function readPolicies(): object[] {
  const folder = path.join(SHOP, "mesh");
  const documents = fs
    .readdirSync(folder)
    .flatMap((file) => parseAllDocuments(fs.readFileSync(path.join(folder, file), "utf8")));
  return documents
    .map((document) => document.toJS() as { readonly kind: string }) // as: resources have a kind
    .filter(({ kind }) => kind !== "ServiceEntry" && kind !== "MeshConfig");
}

function makeCaller(name: Caller): object[] {
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: NAMESPACE } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace: NAMESPACE,
        labels: { app: name },
        annotations: { "heddle.dev/exclude-inbound-ports": String(RELAY_PORT) },
      },
      spec: {
        serviceAccountName: name,
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: "app",
            image: "heddle.test/shop:1",
            command: ["node", "--no-warnings", "/shop/relay.ts"],
            env: [{ name: "PORT", value: String(RELAY_PORT) }],
            readinessProbe: { tcpSocket: { port: RELAY_PORT }, periodSeconds: 1 },
          },
        ],
      },
    },
  ];
}

/** A Service whose one instance does not listen. */
function makeDeadService(name: string): object[] {
  const metadata = { name, namespace: NAMESPACE };
  return [
    { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ name: "http", port: 8080 }] } },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "http", port: DEAD.port, protocol: "TCP" }],
      endpoints: [{ addresses: [DEAD.address], conditions: { ready: true } }],
    },
  ];
}

export class ShopInCluster {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Every Deployment has rolled out, and the callers are ready. */
  async untilReady(): Promise<void> {
    const text = await this.#kubectl("get", "deployments", "-o", "name");
    await untilRolledOut(this.#cluster, NAMESPACE, ...text.trim().split("\n"));
    for (const name of CALLERS) await untilPodIsReady(this.#cluster, NAMESPACE, name);
  }

  async remove(): Promise<void> {
    await this.#kubectl("delete", "meshconfig", "default");
    await deleteNamespace(this.#cluster, NAMESPACE);
  }

  /** Pods that are not being deleted, with the names of all their containers. */
  async pods(): Promise<{ readonly name: string; readonly containers: readonly string[] }[]> {
    const { items } = JSON.parse(await this.#kubectl("get", "pods", "-o", "json")) as {
      readonly items: readonly Pod[];
    }; // as: a PodList
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec }) => ({
        name: metadata.name,
        containers: [...(spec.initContainers ?? []), ...spec.containers].map(({ name }) => name),
      }));
  }

  /** Calls from inside a pod; gives how often which status came, with what the answer's body has at `field`: `{"200 v1": 90}`. */
  async tally(order: CallOrder, field: string, caller: Caller = "shopper"): Promise<Record<string, number>> {
    const command = ["node", "--no-warnings", "/shop/caller.ts", JSON.stringify(order), field];
    const text = await this.#cluster.exec(["kubectl", "-n", NAMESPACE, "exec", caller, "-c", "app", "--", ...command], {
      timeoutMs: 120_000,
    });
    return JSON.parse(text) as Record<string, number>; // as: caller.ts prints it
  }

  /** Waits until calls are answered so. */
  async untilAnswered(order: CallOrder, field: string, wanted: Readonly<Record<string, number>>): Promise<void> {
    let last: Record<string, number> = {};
    const holds = async (): Promise<boolean> => {
      last = await this.tally(order, field);
      return JSON.stringify(last) === JSON.stringify(wanted);
    };
    await until(`${order.url} answers ${JSON.stringify(wanted)}`, holds, 60_000).catch((cause: unknown) => {
      throw new Error(`${order.url} answered ${JSON.stringify(last)}, not ${JSON.stringify(wanted)}`, { cause });
    });
  }

  async addressOf(selector: string): Promise<string> {
    return this.#kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[0].status.podIP}");
  }

  /** What the application itself answers, asked from beside it, past its sidecar. */
  async askApplication(selector: string, what: string, body?: object): Promise<unknown> {
    const [name = ""] = await this.#podNames(selector);
    return this.#askPod(name, what, body);
  }

  /** The first pod of these behaves so; the others as they should. */
  async setFault(selector: string, fault: Fault): Promise<void> {
    const [first = "", ...others] = await this.#podNames(selector);
    await this.#askPod(first, "/_fault", fault);
    for (const name of others) await this.#askPod(name, "/_fault", {});
  }

  /** Deletes the first of these pods without letting it end. */
  async killPod(selector: string): Promise<void> {
    const [name = ""] = await this.#podNames(selector);
    await this.#kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false");
  }

  async patchRoute(name: string, patch: readonly object[]): Promise<void> {
    await this.#kubectl("patch", "httproute", name, "--type=json", "-p", JSON.stringify(patch));
  }

  async #podNames(selector: string): Promise<string[]> {
    return (await this.#kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}")).split(" ");
  }

  async #askPod(name: string, what: string, body?: object): Promise<unknown> {
    const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: JSON_TYPE };
    const script = `
      const [, what, options] = process.argv;
      const response = await fetch("http://127.0.0.1:" + process.env.PORT + what, JSON.parse(options));
      if (!response.ok) throw new Error(what + " was answered " + response.status);
      console.log(await response.text());`;
    const command = ["node", "--input-type=module", "-e", script, what, JSON.stringify(options)];
    return JSON.parse((await execInPod(this.#cluster, NAMESPACE, name, command, "app")) || "null");
  }

  #kubectl(...args: readonly string[]): Promise<string> {
    return this.#cluster.kubectl("-n", NAMESPACE, ...args);
  }
}

const JSON_TYPE = { "content-type": "application/json" };

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: {
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
}
