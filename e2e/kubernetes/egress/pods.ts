// The pods of the egress tests, and how they are asked to call something.
import fs from "node:fs";
import path from "node:path";

import { until } from "../../wire/until.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { BASE_IMAGE } from "../cluster/images.ts";
import { PORTS, type Answer, type Order, type Told } from "./application.ts";

export const NAMESPACE = "egress";

const container = {
  name: "app",
  image: BASE_IMAGE,
  command: ["node", "--no-warnings", "/application/application.ts"],
  env: [
    { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "NODE_EXTRA_CA_CERTS", value: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" },
  ],
  ports: [{ name: "http", containerPort: PORTS.http }],
  readinessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 1 },
  volumeMounts: [{ name: "application", mountPath: "/application" }],
};

/** A pod that the tests reach past its proxy, to give it orders. */
function template(app: string): object {
  return {
    metadata: { labels: { app }, annotations: { "heddle.dev/exclude-inbound-ports": String(PORTS.orders) } },
    spec: {
      serviceAccountName: app,
      terminationGracePeriodSeconds: 20,
      containers: [container],
      volumes: [{ name: "application", configMap: { name: "application" } }],
    },
  };
}

/** An account, the pods that have it, and ConfigMap of what they run. */
export function setOf(app: string, replicas: number): readonly object[] {
  const source = fs.readFileSync(path.join(import.meta.dirname, "application.ts"), "utf8");
  const inNamespace = (name: string): object => ({ name, namespace: NAMESPACE });
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: inNamespace(app) },
    { apiVersion: "v1", kind: "ConfigMap", metadata: inNamespace("application"), data: { "application.ts": source } },
    {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: inNamespace(app),
      spec: {
        serviceName: app,
        replicas,
        podManagementPolicy: "Parallel",
        selector: { matchLabels: { app } },
        template: template(app),
      },
    },
  ];
}

export function serviceOf(name: string, spec: object): object {
  const ports = [{ name: "http", port: 80, targetPort: PORTS.http }];
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: NAMESPACE }, spec: { ports, ...spec } };
}

/** One line of a proxy's access log. */
export interface LogLine {
  readonly direction: string;
  readonly path: string | null;
  readonly authority: string | null;
  readonly upstream_cluster: string;
  readonly upstream_host: string | null;
  readonly response_flags: string;
  readonly peer_identity: string | null;
  /** The address that was called. */
  readonly local: string;
}

/** A pod that carries out orders. */
export class Caller {
  readonly #cluster: Cluster;
  readonly #pod: string;
  readonly address: string;

  private constructor(cluster: Cluster, pod: string, address: string) {
    this.#cluster = cluster;
    this.#pod = pod;
    this.address = address;
  }

  static async of(cluster: Cluster, pod: string): Promise<Caller> {
    return new Caller(cluster, pod, await addressOf(cluster, pod));
  }

  async order(order: Order): Promise<Answer> {
    return (await this.#post("/", order)) as Answer; // as: application.ts answers so
  }

  /** Requests that its application has now. */
  async activeRequests(): Promise<number> {
    return (await this.#post("/active", {})) as number; // as: application.ts answers so
  }

  /** Ends what repeats; how many calls came to what. */
  async stop(): Promise<Readonly<Record<string, number>>> {
    return (await this.#post("/stop", {})) as Readonly<Record<string, number>>; // as: application.ts answers so
  }

  get(url: string, more: Omit<Extract<Order, { kind: "http" }>, "kind" | "url"> = {}): Promise<Answer> {
    return this.order({ kind: "http", url, ...more });
  }

  /** What the application told that answered. @throws {Error} with the answer, when it is another than that. */
  async told(url: string, more: Omit<Extract<Order, { kind: "http" }>, "kind" | "url"> = {}): Promise<Told> {
    const answer = await this.get(url, more);
    if (answer.status !== 200) throw new Error(`${url}: ${JSON.stringify(answer)}`);
    return JSON.parse(answer.body) as Told; // as: application.ts tells it
  }

  /** The first line of its proxy's access log that fits; a connection's is written when it ends. */
  async logged(what: string, fits: (line: LogLine) => boolean): Promise<LogLine> {
    let found: LogLine | undefined;
    await until(
      `the access log has ${what}`,
      async () => {
        const text = await this.#cluster.kubectl("-n", NAMESPACE, "logs", this.#pod, "-c", "heddle-proxy");
        const lines = text.split("\n").filter((line) => line.includes('"upstream_cluster"'));
        found = lines.map((line) => JSON.parse(line) as LogLine).find((line) => fits(line)); // as: its format
        return found !== undefined;
      },
      30_000,
    );
    if (found === undefined) throw new Error(`The access log lost ${what}`);
    return found;
  }

  /** The sum of a metric of its proxy whose labels have all of `labels`. */
  async metric(name: string, labels = ""): Promise<number> {
    const response = await fetch(`http://${this.address}:15020/metrics`);
    const lines = (await response.text()).split("\n").filter((line) => line.startsWith(name) && line.includes(labels));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  async #post(what: string, body: object): Promise<unknown> {
    const url = `http://${this.address}:${PORTS.orders}${what}`;
    const response = await fetch(url, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(90_000),
    });
    return response.json();
  }
}

export function addressOf(cluster: Cluster, pod: string): Promise<string> {
  return cluster.kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", "jsonpath={.status.podIP}");
}
