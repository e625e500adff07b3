// The registry of a Kubernetes cluster: its Services, what their EndpointSlices lead to, and the pods with a proxy of ours.
import type { Labels } from "#config/model/route.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { KubernetesClient } from "../../kubernetes/client.ts";
import {
  Informer,
  type InformerListener,
  type InformerOptions,
  type InformerTimes,
} from "../../kubernetes/informer.ts";
import { endpointSliceType, nodeType, podType, serviceType } from "../../kubernetes/resource-type.ts";
import type { Registry, RegistrySink, RegistryWatch } from "../registry.ts";
import { parsePod, workloadOf, type PodRecord } from "./pod.ts";
import { parseService, parseSlice, type ServiceRecord, type SliceRecord } from "./service.ts";
import { SliceIndex } from "./slice-index.ts";
import { translateService } from "./translate.ts";

export interface KubernetesRegistryOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly times?: InformerTimes;
  /** What names of Services end with: default cluster.local. */
  readonly clusterDomain?: string;
}

export class KubernetesRegistry implements Registry {
  readonly name = "kubernetes";
  /** A cluster that lost its nodes' heartbeats says that all pods are gone; but a Service's cluster IP may be given to another. */
  readonly guardsVanishing = "endpoints";
  readonly #options: KubernetesRegistryOptions;

  constructor(options: KubernetesRegistryOptions) {
    this.#options = options;
  }

  watch(sink: RegistrySink): RegistryWatch {
    const watch = new ClusterWatch(this.#options, sink);
    watch.start();
    return watch;
  }
}

/** A slice and its pod change within the same few ms: what belongs together is told together. */
const flushMs = 10;

class ClusterWatch implements RegistryWatch {
  readonly #clock: Clock;
  readonly #clusterDomain: string | undefined;
  readonly #sink: RegistrySink;
  readonly #services: Informer<ServiceRecord>;
  readonly #slices: Informer<SliceRecord>;
  readonly #pods: Informer<PodRecord>;
  /** Regions and zones: without them everything works, but for locality. */
  readonly #nodes: Informer<Labels>;
  readonly #index = new SliceIndex();
  /** Keys that may have changed since the last flush; "all" after a list. */
  #dirtyServices: Set<string> | "all" = "all";
  #dirtyPods: Set<string> | "all" = "all";
  #told: { readonly services: Set<string>; readonly workloads: Set<string> } | undefined;
  #failure: string | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: KubernetesRegistryOptions, sink: RegistrySink) {
    this.#clock = options.clock;
    this.#clusterDomain = options.clusterDomain;
    this.#sink = sink;
    const common = { ...options, ...(options.times === undefined ? {} : { times: options.times }) };
    const informer = <T>(
      more: Pick<InformerOptions<T>, "type" | "keep" | "metadataOnly">,
      onReplace: () => void,
      onChange: (key: string) => void,
    ): Informer<T> => new Informer({ ...common, ...more }, this.#listener(onReplace, onChange));
    this.#services = informer(
      { type: serviceType, keep: parseService },
      () => (this.#dirtyServices = "all"),
      (key) => this.#markService(key),
    );
    this.#slices = informer(
      { type: endpointSliceType, keep: parseSlice },
      () => {
        this.#index.replace(this.#slices);
        this.#dirtyServices = "all";
      },
      (key) => {
        for (const service of this.#index.update(key, this.#slices.get(key))) this.#markService(service);
      },
    );
    this.#pods = informer(
      { type: podType, keep: parsePod },
      () => {
        this.#dirtyPods = "all";
        this.#dirtyServices = "all";
      },
      (key) => {
        if (this.#dirtyPods !== "all") this.#dirtyPods.add(key);
        for (const service of this.#index.servicesOf(key)) this.#markService(service);
      },
    );
    const markAll = (): void => {
      this.#dirtyPods = "all";
      this.#dirtyServices = "all";
    };
    this.#nodes = informer(
      { type: nodeType, keep: ({ metadata }) => localityOf(metadata.labels), metadataOnly: true },
      markAll,
      markAll,
    );
  }

  start(): void {
    for (const informer of [this.#services, this.#slices, this.#pods, this.#nodes]) informer.start();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await Promise.all(
      [this.#services, this.#slices, this.#pods, this.#nodes].map(async (informer) => informer.close()),
    );
  }

  #listener(onReplace: () => void, onChange: (key: string) => void): InformerListener {
    return {
      onReplace: () => {
        onReplace();
        this.#flushSoon();
      },
      onChange: (key) => {
        onChange(key);
        this.#flushSoon();
      },
      onState: () => this.#flushSoon(),
    };
  }

  #markService(key: string): void {
    if (this.#dirtyServices !== "all") this.#dirtyServices.add(key);
  }

  #flushSoon(): void {
    if (this.#isClosed) return;
    this.#timer ??= this.#clock.setTimer(flushMs, () => {
      this.#timer = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    const needed = [this.#services, this.#slices, this.#pods];
    const failed = needed.find(({ error }) => error !== undefined);
    const hasRecovered = failed === undefined && this.#failure !== undefined;
    // What works is told even while something else does not: an endpoint that went is not kept because Services cannot be read.
    if (needed.every(({ hasSynced }) => hasSynced) && this.#isNodesWordHere()) this.#tell(hasRecovered);
    if (failed?.error !== undefined && failed.error.message !== this.#failure) this.#sink.fail(failed.error);
    this.#failure = failed?.error?.message;
  }

  /** Nodes may be forbidden to us: their first word is waited for, whatever it is. */
  #isNodesWordHere(): boolean {
    return this.#nodes.hasSynced || this.#nodes.error !== undefined;
  }

  #tell(hasRecovered: boolean): void {
    const services = this.#take(this.#dirtyServices, this.#services, this.#told?.services);
    const pods = this.#take(this.#dirtyPods, this.#pods, this.#told?.workloads);
    this.#dirtyServices = new Set();
    this.#dirtyPods = new Set();
    const view = {
      pod: (key: string): PodRecord | undefined => this.#pods.get(key),
      localityOf: (node: string): Labels => this.#nodes.get(node) ?? none,
      clusterDomain: this.#clusterDomain,
    };
    const changed = services.present.flatMap((key) => {
      const service = this.#services.get(key);
      return service === undefined ? [] : [translateService(service, this.#index.slicesOf(key, this.#slices), view)];
    });
    const workloads = pods.present.map((key) => {
      const pod = this.#pods.get(key);
      return { key, workload: pod === undefined ? undefined : workloadOf(pod, view.localityOf(pod.node)) };
    });
    const here = workloads.flatMap(({ workload }) => workload ?? []);
    if (this.#told === undefined) {
      this.#told = { services: new Set(services.present), workloads: new Set() };
      for (const { key, workload } of workloads) if (workload !== undefined) this.#told.workloads.add(key);
      this.#sink.replace(changed, here);
      return;
    }
    const gone = workloads.flatMap(({ key, workload }) => (workload === undefined ? [key] : []));
    const left = [...pods.gone, ...gone].filter((key) => this.#told?.workloads.delete(key));
    for (const { key, workload } of workloads) if (workload !== undefined) this.#told.workloads.add(key);
    for (const key of services.present) this.#told.services.add(key);
    for (const key of services.gone) this.#told.services.delete(key);
    const isSilent = changed.length + services.gone.length + here.length + left.length === 0;
    if (isSilent && !hasRecovered) return;
    this.#sink.change(changed, services.gone, { changed: here, removed: left });
  }

  /** Which of the dirty keys are there, and which of those that were told are not any more. */
  #take(
    dirty: ReadonlySet<string> | "all",
    informer: Informer<unknown>,
    told: ReadonlySet<string> = new Set(),
  ): { readonly present: readonly string[]; readonly gone: readonly string[] } {
    const keys = dirty === "all" ? new Set([...informer.keys(), ...told]) : dirty;
    const present: string[] = [];
    const gone: string[] = [];
    for (const key of keys) {
      if (informer.get(key) !== undefined) present.push(key);
      else if (told.has(key)) gone.push(key);
    }
    return { present, gone };
  }
}

const none: Labels = {};

function localityOf(labels: Labels): Labels {
  const region = labels["topology.kubernetes.io/region"];
  const zone = labels["topology.kubernetes.io/zone"];
  return { ...(region === undefined ? {} : { region }), ...(zone === undefined ? {} : { zone }) };
}
