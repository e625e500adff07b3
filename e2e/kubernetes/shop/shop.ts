// The shop in a cluster: its applications with sidecars, a shopper and a stranger who call it, and the means to look and to disturb.
import fs from "node:fs";
import path from "node:path";
import { parseAllDocuments } from "yaml";

import type { Cluster } from "../cluster/cluster.ts";
import { makeMeshNamespace } from "../mesh.ts";
import { deleteNamespace, untilPodIsReady, untilRolledOut } from "../pods.ts";

export const SHOP = path.join(import.meta.dirname, "..", "..", "..", "examples", "shop");
export const NAMESPACE = "shop";
/** Where the test collects spans: at the node. */
export const OTLP = { address: "10.77.0.1", port: 4318 } as const;
/** The callers' relay is asked by the test, which is not in the mesh: their sidecars leave this port alone. */
export const RELAY_PORT = 7900;
/** Nothing listens there. */
const DEAD = { address: "10.77.0.1", port: 7901 } as const;
const CALLERS = ["shopper", "stranger"];

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

function makeCaller(name: string): object[] {
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
            readinessProbe: { tcpSocket: { port: RELAY_PORT }, periodSeconds: 1, timeoutSeconds: 5 },
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

  /** Deploys everything and waits until it is ready. The mesh is installed already. */
  async deploy(): Promise<void> {
    const apps = fs.readFileSync(path.join(SHOP, "kubernetes", "apps.yaml"), "utf8");
    await makeMeshNamespace(this.#cluster, NAMESPACE);
    await this.#cluster.apply([MESH_CONFIG, ...readPolicies()]);
    await this.#cluster.apply(apps, "-n", NAMESPACE);
    await this.#cluster.apply([...CALLERS.flatMap(makeCaller), ...["suggestions", "vault"].flatMap(makeDeadService)]);
    await this.untilReady();
  }

  /** Every Deployment has rolled out, and the callers are ready. */
  async untilReady(): Promise<void> {
    const text = await this.#kubectl("get", "deployments", "-o", "name");
    await untilRolledOut(this.#cluster, NAMESPACE, ...text.trim().split("\n"));
    for (const name of CALLERS) await untilPodIsReady(this.#cluster, NAMESPACE, name);
  }

  async remove(): Promise<void> {
    await this.#kubectl("delete", "meshconfig", "default", "--ignore-not-found");
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

  /** Deletes a pod without letting it end. */
  async killPod(name: string): Promise<void> {
    await this.#kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false");
  }

  async patchRoute(name: string, patch: readonly object[]): Promise<void> {
    await this.#kubectl("patch", "httproute", name, "--type=json", "-p", JSON.stringify(patch));
  }

  #kubectl(...args: readonly string[]): Promise<string> {
    return this.#cluster.kubectl("-n", NAMESPACE, ...args);
  }
}

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: {
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
}
