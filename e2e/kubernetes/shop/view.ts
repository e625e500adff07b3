// The shop in the cluster as the demo's claims look at a shop (examples/demo/claim.ts): the same claims hold here, unchanged.
import fs from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

import type { ShopView } from "../../../examples/demo/claim.ts";
import { HEDDLE_SOURCES } from "../../../examples/demo/heddle.ts";
import { runToEnd } from "../../../examples/demo/child.ts";
import { AccessLogReader } from "../../../examples/demo/observe/access-records.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../../../examples/demo/observe/otlp-receiver.ts";
import type { Fault } from "../../../examples/shop/kit/faults.ts";
import type { StatsReport } from "../../../examples/shop/kit/stats.ts";
import { Load, type Outcome } from "../../../examples/shop/load.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { untilRolledOut } from "../pods.ts";
import { followSidecars, forwardPorts, type FollowedLogs, type PortForward } from "./port-forward.ts";
import { NAMESPACE, OTLP, RELAY_PORT, SHOP } from "./shop.ts";

const ADMIN_PORT = 15_000;

interface Pod {
  readonly name: string;
  readonly address: string;
  /** The application's. */
  readonly port: number;
}

/** `close` it: it holds a kubectl for each pod. */
export class ClusterShopView implements ShopView {
  readonly load = new Load();
  readonly otlp: OtlpReceiver;
  readonly heddle = { explain: (requestId: string) => this.#explain(requestId) };
  readonly #cluster: Cluster;
  readonly #servicePorts = readServicePorts();
  readonly #forwards = new Map<string, PortForward>();
  readonly #records = new Map<string, AccessLogReader>();
  #pods: readonly Pod[] = [];
  #logs: FollowedLogs | undefined;

  private constructor(cluster: Cluster, otlp: OtlpReceiver) {
    this.#cluster = cluster;
    this.otlp = otlp;
  }

  static async open(cluster: Cluster): Promise<ClusterShopView> {
    const view = new ClusterShopView(cluster, await startOtlpReceiver(OTLP.port, OTLP.address));
    await view.#refresh();
    return view;
  }

  async close(): Promise<void> {
    await this.load.close();
    await this.#logs?.close();
    await Promise.all([...this.#forwards.values()].map((forward) => forward.close()));
    await this.otlp.close();
  }

  /** The laptop's `payments-2` is here the second pod of the Deployment payments; `shopper-1` the pod of that name. */
  nameOf(name: string): string {
    return this.#pod(name).name;
  }

  url(from: string, service: string, path: string): string {
    return `http://${this.#pod(from).address}:${RELAY_PORT}/${service}:${this.#servicePorts.get(service) ?? 8080}${path}`;
  }

  addressOf(name: string): string {
    return this.#pod(name).address;
  }

  /** A container that ends is started again: the pod goes, until `startApplication`. It must be its Deployment's only one. */
  async killApplication(name: string): Promise<void> {
    const pod = this.#pod(name).name;
    await this.#kubectl("scale", `deployment/${deploymentOf(pod)}`, "--replicas=0");
    await this.#kubectl("wait", "--for=delete", `pod/${pod}`, "--timeout=50s");
  }

  async startApplication(name: string): Promise<void> {
    const deployment = `deployment/${deploymentOf(this.#pod(name).name)}`;
    await this.#kubectl("scale", deployment, "--replicas=1");
    await untilRolledOut(this.#cluster, NAMESPACE, deployment);
    await this.#refresh();
  }

  async setFault(name: string, fault: Fault): Promise<void> {
    await this.#ask(name, { url: "/_fault", method: "POST", body: fault });
  }

  async resetStats(...names: readonly string[]): Promise<void> {
    for (const name of names) await this.#ask(name, { url: "/_stats/reset", method: "POST" });
  }

  async stats(name: string): Promise<StatsReport> {
    return (await this.#ask(name, { url: "/_stats" })).body as StatsReport; // as: the shop's own application answered 200
  }

  accessLog(name: string): AccessLogReader {
    return this.#records.get(name) ?? new AccessLogReader();
  }

  get runningSidecars(): readonly string[] {
    return this.#pods.map(({ name }) => name);
  }

  admin(name: string, path: string): Promise<Outcome> {
    return this.load.call({ url: `http://${this.#forwarded(this.#pod(name), ADMIN_PORT)}${path}` });
  }

  /** Looks which pods there are, opens ways to those that are new, and follows the logs of all. */
  async #refresh(): Promise<void> {
    const { items } = JSON.parse(await this.#kubectl("get", "pods", "-o", "json")) as { readonly items: PodObject[] }; // as: a PodList
    this.#pods = items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec, status }) => ({
        name: metadata.name,
        address: status.podIP,
        port: spec.containers[0]?.ports?.[0]?.containerPort ?? RELAY_PORT,
      }))
      .toSorted((left, right) => (left.name < right.name ? -1 : 1));
    const added = this.#pods.filter(({ name }) => !this.#forwards.has(name));
    await Promise.all(
      added.map(async ({ name, port }) => {
        this.#records.set(name, new AccessLogReader());
        this.#forwards.set(name, await forwardPorts(this.#cluster, NAMESPACE, name, [port, ADMIN_PORT]));
      }),
    );
    const now = new Date();
    await this.#logs?.close();
    this.#logs = followSidecars(this.#cluster, NAMESPACE, now, (pod, line) => this.#records.get(pod)?.push(line));
  }

  #kubectl(...args: readonly string[]): Promise<string> {
    return this.#cluster.kubectl("-n", NAMESPACE, ...args);
  }

  async #ask(
    name: string,
    { url, ...rest }: { readonly url: string; readonly method?: "POST"; readonly body?: unknown },
  ): Promise<Outcome> {
    const pod = this.#pod(name);
    const outcome = await this.load.call({ url: `http://${this.#forwarded(pod, pod.port)}${url}`, ...rest });
    if (outcome.status !== 200)
      throw new Error(`${pod.name} answered ${url} with ${outcome.status} ${outcome.error}, asked past its sidecar`);
    return outcome;
  }

  #explain(requestId: string): ReturnType<typeof runToEnd> {
    const admins = this.#pods.flatMap((pod) => ["--admin", this.#forwarded(pod, ADMIN_PORT)]);
    return runToEnd(process.execPath, [HEDDLE_SOURCES, "explain", requestId, ...admins]);
  }

  #forwarded({ name }: Pod, port: number): string {
    return `127.0.0.1:${this.#forwards.get(name)?.ports.get(port) ?? 0}`;
  }

  #pod(name: string): Pod {
    const [, deployment = name, number = "1"] = /^(.+)-(\d+)$/u.exec(name) ?? [];
    const pods = this.#pods.filter((pod) => deploymentOf(pod.name) === deployment);
    const pod = pods[Number(number) - 1];
    if (pod === undefined) throw new Error(`no pod for "${name}" among ${this.runningSidecars.join(", ")}`);
    return pod;
  }
}

/** A pod's name without what its ReplicaSet and it have of their own. */
function deploymentOf(pod: string): string {
  return pod.replace(/-[a-z0-9]+-[a-z0-9]{5}$/u, "");
}

/** The first port of each Service. */
function readServicePorts(): ReadonlyMap<string, number> {
  const text = fs.readFileSync(join(SHOP, "kubernetes", "apps.yaml"), "utf8");
  const objects = parseAllDocuments(text).map((document) => document.toJS() as ServiceObject); // as: only Services are looked into
  return new Map(
    objects
      .filter(({ kind }) => kind === "Service")
      .map(({ metadata, spec }) => [metadata.name, spec.ports[0]?.port ?? 0]),
  );
}

interface ServiceObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: { readonly ports: readonly { readonly port: number }[] };
}

interface PodObject {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly containers: readonly { readonly ports?: readonly { readonly containerPort: number }[] }[] };
  readonly status: { readonly podIP: string };
}
