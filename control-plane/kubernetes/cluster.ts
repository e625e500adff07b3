// What a control plane has in a Kubernetes cluster: a client, the two sources that it reads, and its place among its replicas.
import { readFileSync } from "node:fs";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { randomSecret } from "#lib/random-secret.ts";
import { KubernetesRegistry } from "../registry/kubernetes/kubernetes-registry.ts";
import { openClusterIdentity, type ClusterIdentity } from "../identity/kubernetes/cluster-identity.ts";
import type { KubernetesSettings } from "../settings.ts";
import { KubernetesClient } from "./client.ts";
import { defaultInjectionSettings, parseInjectionSettings } from "./injector/settings.ts";
import { startWebhookServer, type WebhookServer } from "./webhook/webhook-server.ts";
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

  readonly #options: ClusterOptions;
  #statuses: StatusWriter | undefined;

  private constructor(client: KubernetesClient, options: ClusterOptions) {
    const { settings, clock, random, log } = options;
    this.#options = options;
    const parts = { client, clock, random, log };
    this.client = client;
    const { clusterDomain } = settings;
    this.registry = new KubernetesRegistry({ ...parts, ...(clusterDomain === undefined ? {} : { clusterDomain }) });
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

  /** Resolves when there is an authority. @throws {IdentityError} when its Secret holds none. */
  async openIdentity(mesh: { readonly trustDomain: string; readonly leafLifeMs: number }): Promise<ClusterIdentity> {
    const { settings, clock, random, log } = this.#options;
    const { namespace, caSecret } = settings;
    const { isLeader } = this.leader;
    return openClusterIdentity({ ...mesh, client: this.client, namespace, caSecret, isLeader, clock, random, log });
  }

  /** Serves the webhook where it was asked to. @throws when its settings cannot be used, or the address cannot be bound. */
  async serveWebhook(identity: ClusterIdentity, version: string): Promise<WebhookServer | undefined> {
    const { settings, log } = this.#options;
    const { webhookAddress, injectorSettings } = settings;
    if (webhookAddress === undefined) return undefined;
    return startWebhookServer({
      address: webhookAddress,
      certificate: identity.webhookCertificate,
      settings:
        injectorSettings === undefined
          ? defaultInjectionSettings(version)
          : parseInjectionSettings(readFileSync(injectorSettings, "utf8"), injectorSettings, version),
      version,
      log,
      prepareNamespace: async (namespace) => identity.ensureRoots(namespace),
    });
  }

  /** Takes part in the election, from when everything else is ready; a leader writes statuses. */
  lead(parts: Pick<StatusWriterOptions, "store" | "errors" | "proxies">): void {
    const { client, config, leader } = this;
    const { clock, log } = this.#options;
    this.#statuses = new StatusWriter({ ...parts, clock, log, client, config, isLeader: leader.isLeader });
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
