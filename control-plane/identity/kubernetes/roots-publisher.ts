// Keeps the ConfigMap `heddle-roots` in each namespace whose pods have sidecars: what they pin before they have a certificate.
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Watched } from "#lib/watched.ts";
import { KubernetesError, type KubernetesClient } from "../../kubernetes/client.ts";
import { Informer } from "../../kubernetes/informer.ts";
import { textOf, textsOf, type KubernetesObject } from "../../kubernetes/objects.ts";
import { pathOf, type ResourceType } from "../../kubernetes/resource-type.ts";

export const rootsConfigMap = "heddle-roots";
const ROOTS_KEY = "roots.pem";
/** RFC 1123 */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const INJECT_LABEL = "heddle.dev/inject";
/** What could not be written is tried again after this. */
const RETRY_MS = 2000;

const configMaps: ResourceType = { group: "", versions: ["v1"], plural: "configmaps", kind: "ConfigMap" };
const namespaces: ResourceType = { group: "", versions: ["v1"], plural: "namespaces", kind: "Namespace" };

export interface RootsPublisherOptions {
  readonly client: KubernetesClient;
  readonly bundle: Watched<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface KnownNamespace {
  readonly wantsRoots: boolean;
  readonly isEnding: boolean;
}

export class RootsPublisher {
  readonly #options: RootsPublisherOptions;
  readonly #namespaces: Informer<KnownNamespace>;
  readonly #configMaps: Informer<{ readonly rootsPem: string }>;
  readonly #unsubscribe: () => void;
  #retry: Timer | undefined;
  #isLeader = false;
  #isRunning = false;
  #isDue = false;
  #isClosed = false;

  constructor(options: RootsPublisherOptions) {
    const { client, clock, random, log } = options;
    this.#options = options;
    const listener = { onReplace: () => this.#look(), onChange: () => this.#look(), onState: () => undefined };
    const common = { client, clock, random, log };
    this.#namespaces = new Informer({ ...common, type: namespaces, metadataOnly: true, keep: readNamespace }, listener);
    const keep = ({ metadata, data }: KubernetesObject): { readonly rootsPem: string } | undefined =>
      metadata.name === rootsConfigMap ? { rootsPem: textOf(textsOf(data)[ROOTS_KEY]) } : undefined;
    const fieldSelector = `metadata.name=${rootsConfigMap}`;
    this.#configMaps = new Informer({ ...common, type: configMaps, fieldSelector, keep }, listener);
    this.#namespaces.start();
    this.#configMaps.start();
    this.#unsubscribe = options.bundle.subscribe(() => this.#look());
  }

  /** Only the leader keeps all of them. */
  setLeader(isLeader: boolean): void {
    this.#isLeader = isLeader;
    this.#look();
  }

  /**
   * Before a pod is admitted that asked for a sidecar itself: any replica writes what is missing. Anybody in the cluster can ask
   * the webhook, about any text. @throws {KubernetesError}
   */
  async ensure(namespace: string): Promise<void> {
    if (!NAMESPACE.test(namespace)) throw new KubernetesError(`"${namespace}" cannot be the name of a namespace`);
    const known = this.#configMaps.get(`${namespace}/${rootsConfigMap}`);
    if (known?.rootsPem !== this.#options.bundle.current) await this.#write(namespace, known !== undefined);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#retry?.cancel();
    this.#unsubscribe();
    await Promise.all([this.#namespaces.close(), this.#configMaps.close()]);
  }

  #look(): void {
    if (!this.#isLeader || this.#isClosed) return;
    this.#isDue = true;
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isDue && this.#isLeader && !this.#isClosed) {
      this.#isDue = false;
      for (const namespace of this.#outdated()) await this.#try(namespace);
    }
    this.#isRunning = false;
  }

  /** Those that asked for injection, and those that have one from before: a pod of theirs has asked itself. */
  #outdated(): readonly string[] {
    if (!this.#namespaces.hasSynced || !this.#configMaps.hasSynced) return [];
    const wanted = this.#options.bundle.current;
    return [...this.#namespaces.keys()].filter((name) => {
      const namespace = this.#namespaces.get(name);
      const held = this.#configMaps.get(`${name}/${rootsConfigMap}`);
      if (namespace === undefined || namespace.isEnding) return false;
      return (namespace.wantsRoots || held !== undefined) && held?.rootsPem !== wanted;
    });
  }

  async #try(namespace: string): Promise<void> {
    const { clock, log } = this.#options;
    try {
      await this.#write(namespace, this.#configMaps.get(`${namespace}/${rootsConfigMap}`) !== undefined);
    } catch (error) {
      log.warn("roots not written", { namespace, error });
      // One for all that failed: each of their own would begin a round of all.
      this.#retry?.cancel();
      this.#retry = clock.setTimer(RETRY_MS, () => this.#look());
    }
  }

  async #write(namespace: string, exists: boolean): Promise<void> {
    const { client, bundle, log } = this.#options;
    const data = { [ROOTS_KEY]: bundle.current };
    const labels = { "app.kubernetes.io/managed-by": "heddle-control-plane", "app.kubernetes.io/part-of": "heddle" };
    const metadata = { name: rootsConfigMap, namespace, labels };
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata, data };
    if (!exists) {
      try {
        await client.request({ method: "POST", path: pathOf(configMaps, { namespace }), body });
        log.info("roots written", { namespace });
        return;
      } catch (error) {
        if (!(error instanceof KubernetesError) || error.status !== 409) throw error;
      }
    }
    const path = pathOf(configMaps, { namespace, name: rootsConfigMap });
    await client.request({ method: "PATCH", path, contentType: "application/merge-patch+json", body });
    log.info("roots written", { namespace });
  }
}

function readNamespace({ metadata }: KubernetesObject): KnownNamespace {
  const choice = metadata.labels[INJECT_LABEL];
  return { wantsRoots: choice === "enabled" || choice === "true", isEnding: metadata.deletionTimestamp !== undefined };
}
