// What a control plane has in a Kubernetes cluster: a client, the two sources that it reads, and its place among its replicas.
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { randomSecret } from "#lib/random-secret.ts";
import { KubernetesRegistry } from "../registry/kubernetes/kubernetes-registry.ts";
import type { KubernetesSettings } from "../settings.ts";
import { KubernetesClient } from "./client.ts";
import { KubernetesConfig } from "./config.ts";
import { LeaderElection } from "./leader.ts";
import { StatusWriter, type StatusWriterOptions } from "./status/status-writer.ts";

export interface ClusterOptions {
  readonly settings: KubernetesSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class Cluster {
  readonly client: KubernetesClient;
  /** Services, and the pods with a proxy. */
  readonly registry: KubernetesRegistry;
  /** Routes, policies and ServiceEntries. */
  readonly config: KubernetesConfig;
  /** Who may do what only one replica may do. */
  readonly leader: LeaderElection;

  readonly #common: Pick<ClusterOptions, "clock" | "log">;
  #statuses: StatusWriter | undefined;

  private constructor(client: KubernetesClient, { settings, clock, random, log }: ClusterOptions) {
    const parts = { client, clock, random, log };
    this.#common = { clock, log };
    this.client = client;
    this.registry = new KubernetesRegistry(parts);
    this.config = new KubernetesConfig(parts);
    this.leader = new LeaderElection({
      ...parts,
      namespace: settings.namespace,
      name: "heddle-leader",
      // A container that is restarted has its pod's name again, and must not take itself for the one before.
      identity: `${settings.replica}_${randomSecret(4).toString("hex")}`,
    });
  }

  /** Nothing is asked yet: the sources begin when the catalog watches them. @throws {KubernetesError} without a configuration. */
  static open(options: ClusterOptions): Cluster {
    return new Cluster(KubernetesClient.load(), options);
  }

  /** Takes part in the election, from when everything else is ready; a leader writes statuses. */
  lead(parts: Pick<StatusWriterOptions, "store" | "errors" | "proxies">): void {
    const { client, config, leader } = this;
    this.#statuses = new StatusWriter({ ...this.#common, ...parts, client, config, isLeader: leader.isLeader });
    this.#statuses.start();
    leader.start();
  }

  /** After the sources were closed with their catalog. */
  async close(): Promise<void> {
    await this.#statuses?.close();
    await this.leader.close();
    this.client.close();
  }
}
