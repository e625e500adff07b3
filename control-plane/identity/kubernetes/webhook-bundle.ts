// Tells the API server whom to trust behind our webhook: keeps caBundle of the MutatingWebhookConfiguration.
import { isObject } from "#config/load/values.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Watched } from "#lib/watched.ts";
import type { KubernetesClient } from "../../kubernetes/client.ts";
import { Informer } from "../../kubernetes/informer.ts";
import { textOf, type KubernetesObject } from "../../kubernetes/objects.ts";
import { pathOf, type ResourceType } from "../../kubernetes/resource-type.ts";

const PAUSE_MS = 1000;

const configurations: ResourceType = {
  group: "admissionregistration.k8s.io",
  versions: ["v1"],
  plural: "mutatingwebhookconfigurations",
  kind: "MutatingWebhookConfiguration",
};

export interface WebhookBundleOptions {
  readonly client: KubernetesClient;
  /** Of the MutatingWebhookConfiguration; it is made by the chart, and only its bundles are written. */
  readonly name: string;
  readonly bundle: Watched<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** One operation of a JSON patch (RFC 6902). */
interface PatchOperation {
  readonly op: "test" | "add";
  readonly path: string;
  readonly value: string;
}

export class WebhookBundle {
  readonly #options: WebhookBundleOptions;
  readonly #informer: Informer<KubernetesObject>;
  readonly #unsubscribe: () => void;
  #isLeader = false;
  #isWriting = false;
  /** Something came while we wrote. */
  #isAgain = false;
  #isClosed = false;
  #wroteAtMs = -Infinity;
  #timer: Timer | undefined;

  constructor(options: WebhookBundleOptions) {
    this.#options = options;
    const { client, clock, random, log, name } = options;
    const look = (): void => void this.#look();
    this.#informer = new Informer(
      {
        client,
        type: configurations,
        fieldSelector: `metadata.name=${name}`,
        keep: (object) => (object.metadata.name === name ? object : undefined),
        clock,
        random,
        log,
      },
      { onReplace: look, onChange: look, onState: () => undefined },
    );
    this.#informer.start();
    this.#unsubscribe = options.bundle.subscribe(look);
  }

  setLeader(isLeader: boolean): void {
    this.#isLeader = isLeader;
    void this.#look();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#unsubscribe();
    await this.#informer.close();
  }

  async #look(): Promise<void> {
    const { client, name, bundle, clock, log } = this.#options;
    const object = this.#informer.get(name);
    if (this.#isWriting) this.#isAgain = true;
    if (object === undefined || !this.#isLeader || this.#isWriting || this.#isClosed) return;
    const patch = patchBundles(object, bundle.current);
    if (patch.length === 0) return;
    // Whoever writes something else into it each time must not make us write without pause.
    const sinceMs = clock.nowMs() - this.#wroteAtMs;
    if (sinceMs < PAUSE_MS) {
      this.#timer?.cancel();
      this.#timer = clock.setTimer(PAUSE_MS - sinceMs, () => void this.#look());
      return;
    }
    this.#wroteAtMs = clock.nowMs();
    this.#isWriting = true;
    try {
      const path = pathOf(configurations, { name });
      await client.request({ method: "PATCH", path, contentType: "application/json-patch+json", body: patch });
      log.info("webhook's bundle written", { name });
    } catch (error) {
      log.warn("webhook's bundle not written", { name, error });
      this.#timer?.cancel();
      this.#timer = clock.setTimer(PAUSE_MS, () => void this.#look());
    } finally {
      this.#isWriting = false;
      if (this.#isAgain) void this.#look();
      this.#isAgain = false;
    }
  }
}

/** What makes all its webhooks trust `bundlePem`; nothing where they do. Another order of webhooks meanwhile fails the patch. */
export function patchBundles(object: KubernetesObject, bundlePem: string): readonly PatchOperation[] {
  const caBundle = Buffer.from(bundlePem).toString("base64");
  const webhooks = Array.isArray(object["webhooks"]) ? (object["webhooks"] as unknown[]) : []; // it is an array
  return webhooks.flatMap((webhook, at): PatchOperation[] => {
    const { name, clientConfig } = isObject(webhook) ? webhook : {};
    if (!isObject(clientConfig) || clientConfig["caBundle"] === caBundle) return [];
    return [
      { op: "test", path: `/webhooks/${at}/name`, value: textOf(name) },
      { op: "add", path: `/webhooks/${at}/clientConfig/caBundle`, value: caBundle },
    ];
  });
}
