// Load from inside of a pod: `const load = await Load.deploy(cluster, { namespace: "shop" }); await load.run({ url, perSecond: 200, count: 2000 });`
import fs from "node:fs";
import path from "node:path";

import { until } from "../../wire/until.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { BASE_IMAGE } from "../cluster/images.ts";
import { untilPodIsReady } from "../pods.ts";
import type { LoadOrder, LoadReport } from "./generator.ts";

/** Where the generator takes orders; not intercepted, so that orders need no mesh. */
const PORT = 9999;

export interface LoadPlace {
  readonly namespace: string;
  /** Of the pod; `load` if not said otherwise. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
}

export class Load {
  readonly #base: string;

  private constructor(base: string) {
    this.#base = base;
  }

  /** Makes the pod that calls, and waits until it is ready (its sidecar included, where the namespace gets one). */
  static async deploy(cluster: Cluster, place: LoadPlace): Promise<Load> {
    const { namespace, name = "load", labels = {}, annotations = {}, serviceAccount = "default" } = place;
    const source = fs.readFileSync(path.join(import.meta.dirname, "generator.ts"), "utf8");
    await cluster.apply([
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { "generator.ts": source } },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name,
          namespace,
          labels: { app: name, ...labels },
          annotations: { "heddle.dev/exclude-inbound-ports": String(PORT), ...annotations },
        },
        spec: {
          serviceAccountName: serviceAccount,
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              name: "load",
              image: BASE_IMAGE,
              command: ["node", "--no-warnings", "/load/generator.ts"],
              env: [{ name: "LOAD_PORT", value: String(PORT) }],
              volumeMounts: [{ name: "load", mountPath: "/load" }],
            },
          ],
          volumes: [{ name: "load", configMap: { name } }],
        },
      },
    ]);
    const address = await untilPodIsReady(cluster, namespace, name);
    const load = new Load(`http://${address}:${PORT}`);
    await until("the load generator listens", () =>
      load.report().then(
        () => true,
        () => false,
      ),
    );
    return load;
  }

  /** Begins; what goes on already is ended. */
  async start(order: LoadOrder): Promise<void> {
    await this.#ask("/run", JSON.stringify(order));
  }

  async report(): Promise<LoadReport> {
    return this.#ask("/report");
  }

  /** Ends the load and waits for the last answers. */
  async stop(): Promise<LoadReport> {
    await this.#ask("/stop", "");
    return this.done(60_000);
  }

  /** Waits until all calls of the order have had their answers. */
  async done(limitMs: number): Promise<LoadReport> {
    await until("all calls are answered", async () => (await this.report()).isDone, limitMs);
    return this.report();
  }

  /** The whole of an order. */
  async run(order: LoadOrder & { readonly count: number }): Promise<LoadReport> {
    await this.start(order);
    return this.done((order.count / order.perSecond) * 1000 + 120_000);
  }

  async #ask(what: string, body?: string): Promise<LoadReport> {
    const options = body === undefined ? {} : { method: "POST", body };
    const response = await fetch(this.#base + what, options);
    if (!response.ok) throw new Error(`The load generator answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as LoadReport; // as: generator.ts answers it
  }
}
