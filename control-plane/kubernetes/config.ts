// Routes, policies and ServiceEntries from the API server: a source of documents beside the folder.
import type { ConfigError } from "#config/load/config-error.ts";
import type { KindDefinition } from "#config/schema/kind.ts";
import { kinds, type ResourceKind } from "#config/schema/kinds.ts";
import { ResourceParser } from "#config/schema/parse-resource.ts";
import type { ServiceEntry } from "#config/schema/service-entry.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { ConfigReport, ConfigSource } from "../registry/config-source.ts";
import { serviceOf } from "../registry/file/file-registry.ts";
import type { RegistryService, RegistrySink, RegistryWatch } from "../registry/registry.ts";
import type { KubernetesClient } from "./client.ts";
import { ConfigObjects, keepConfig, type ConfigRecord } from "./config-objects.ts";
import { Informer, type InformerTimes } from "./informer.ts";
import type { ResourceType } from "./resource-type.ts";

export interface KubernetesConfigOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly times?: InformerTimes;
}

/** One kind as it is watched. */
export interface WatchedKind {
  readonly kind: ResourceKind;
  readonly type: ResourceType;
  readonly informer: Informer<ConfigRecord>;
  readonly objects: ConfigObjects;
}

/** `kubectl apply -f` of a folder comes as many events: they take effect together. */
const quietMs = 20;
const longestMs = 500;

export class KubernetesConfig implements ConfigSource {
  readonly name = "kubernetes-config";
  /** Who deletes an endpoint from a ServiceEntry means it. */
  readonly guardsVanishing = false;
  readonly #options: KubernetesConfigOptions;
  readonly #kinds: readonly WatchedKind[];
  readonly #listeners = new Set<() => void>();
  readonly #objectListeners = new Set<() => void>();
  readonly #services = new WeakMap<ServiceEntry, RegistryService>();
  #report: ConfigReport = { resources: [], files: [], errors: [], warnings: [], refusedEdits: 0 };
  #refusedEdits = 0;
  #isLoaded = false;
  #isDirty = true;
  #failure: string | undefined;
  #sink: RegistrySink | undefined;
  #timer: Timer | undefined;
  #firstMs = 0;

  constructor(options: KubernetesConfigOptions) {
    this.#options = options;
    const parser = new ResourceParser();
    this.#kinds = kinds.map((definition) => this.#watchKind(definition, new ConfigObjects(definition, parser)));
  }

  get report(): ConfigReport {
    return this.#report;
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** For who writes statuses: the objects as they are, whether or not they are in force. */
  get kinds(): readonly WatchedKind[] {
    return this.#kinds;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when anything of an object has changed, its status too. */
  subscribeObjects(listener: () => void): () => void {
    this.#objectListeners.add(listener);
    return () => this.#objectListeners.delete(listener);
  }

  watch(sink: RegistrySink): RegistryWatch {
    this.#sink = sink;
    for (const { informer } of this.#kinds) informer.start();
    return {
      close: async () => {
        this.#sink = undefined;
        this.#timer?.cancel();
        await Promise.all(this.#kinds.map(async ({ informer }) => informer.close()));
      },
    };
  }

  #watchKind(definition: KindDefinition<ResourceKind>, objects: ConfigObjects): WatchedKind {
    const type = typeOf(definition);
    const take = (key: string): void => {
      const { isChanged, refused } = objects.update(key, informer.get(key));
      this.#isDirty ||= isChanged;
      if (refused.length > 0) this.#refuse(refused);
      // A change of status alone is told too: who writes statuses waits for its own word.
      this.#flushSoon();
    };
    const informer = new Informer<ConfigRecord>(
      { ...this.#options, type, keep: keepConfig },
      {
        onReplace: () => {
          for (const key of [...objects.keys(), ...informer.keys()]) take(key);
          this.#isDirty = true;
          this.#flushSoon();
        },
        onChange: take,
        onState: () => this.#flushSoon(),
      },
    );
    return { kind: definition.kind, type, informer, objects };
  }

  #refuse(errors: readonly ConfigError[]): void {
    this.#refusedEdits++;
    for (const error of errors)
      this.#options.log.error("configuration refused, the last good version of the object stays", {
        at: error.file,
        code: error.code,
        error: error.message,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
  }

  #flushSoon(): void {
    if (this.#sink === undefined) return;
    const nowMs = this.#options.clock.nowMs();
    if (this.#timer === undefined) this.#firstMs = nowMs;
    this.#timer?.cancel();
    const restMs = this.#firstMs + longestMs - nowMs;
    this.#timer = this.#options.clock.setTimer(Math.max(0, Math.min(quietMs, restMs)), () => {
      this.#timer = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    const failed = this.#kinds.find(({ informer }) => informer.error !== undefined)?.informer.error;
    const isSynced = this.#kinds.every(({ informer }) => informer.hasSynced);
    const hasRecovered = failed === undefined && this.#failure !== undefined;
    if (isSynced && (this.#isDirty || !this.#isLoaded)) this.#tell(sink);
    else if (isSynced && hasRecovered) sink.change([], []);
    if (failed !== undefined) sink.fail(failed);
    this.#failure = failed?.message;
    for (const listener of this.#objectListeners) listener();
  }

  #tell(sink: RegistrySink): void {
    this.#isDirty = false;
    const states = this.#kinds.flatMap(({ objects }) => objects.states);
    this.#report = {
      resources: states.flatMap(({ resource }) => resource ?? []),
      files: [],
      errors: states.flatMap(({ errors }) => errors),
      warnings: states.flatMap(({ warnings }) => warnings),
      refusedEdits: this.#refusedEdits,
    };
    this.#isLoaded = true;
    const entries = this.#report.resources.filter((resource) => resource.kind === "ServiceEntry");
    sink.replace(entries.map((entry) => this.#serviceOf(entry)));
    for (const listener of this.#listeners) listener();
  }

  #serviceOf(entry: ServiceEntry): RegistryService {
    let service = this.#services.get(entry);
    if (service === undefined) {
      service = serviceOf(entry, "");
      this.#services.set(entry, service);
    }
    return service;
  }
}

function typeOf({ group, version, olderVersions, plural, kind }: KindDefinition): ResourceType {
  return { group, versions: [version, ...olderVersions], plural, kind };
}
