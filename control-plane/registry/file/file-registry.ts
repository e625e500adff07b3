// The registry of the embedded default: ServiceEntries in a folder of YAML, beside the policies for them.
import { relative } from "node:path";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { formatPlace, type ConfigError } from "#config/load/config-error.ts";
import { protocolOfPort } from "#config/model/port-protocol.ts";
import type { ServiceEntry } from "#config/schema/service-entry.ts";
import type { ConfigReport, ConfigSource } from "../config-source.ts";
import type { RegistryEndpoint, RegistryService, RegistrySink, RegistryWatch } from "../registry.ts";
import { ConfigFolder } from "./config-folder.ts";
import { FolderWatcher, type WatchTimes } from "./folder-watcher.ts";

export interface FileRegistryOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly times?: WatchTimes;
}

/** Services and documents come from one look at the folder, so that a file that holds both takes effect at once. */
export class FileRegistry implements ConfigSource {
  readonly name = "file";
  /** Who deletes an endpoint from a file means it. */
  readonly guardsVanishing = false;
  readonly #options: FileRegistryOptions;
  readonly #config = new ConfigFolder();
  readonly #listeners = new Set<() => void>();
  readonly #services = new WeakMap<ServiceEntry, RegistryService>();
  #isLoaded = false;

  constructor(options: FileRegistryOptions) {
    this.#options = options;
  }

  /** The documents in force and what is wrong with the others. */
  get report(): ConfigReport {
    return this.#config.report;
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Called after each change of the folder, when services and documents are both in place. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  watch(sink: RegistrySink): RegistryWatch {
    const watcher = new FolderWatcher(this.#options, {
      onChange: (change) => {
        this.#logRefused(this.#config.apply(change));
        // The first word is the whole truth: it waits for files that are still being written.
        if (this.#isLoaded || !change.isUnsettled) this.#tell(sink);
      },
      onError: (error) => sink.fail(error),
      // Also the end of a time in which the folder could not be read.
      onUnchanged: () => {
        if (this.#isLoaded) sink.change([], []);
        else this.#tell(sink);
      },
    });
    watcher.start();
    return { close: async () => watcher.close() };
  }

  #tell(sink: RegistrySink): void {
    this.#isLoaded = true;
    const entries = this.report.resources.filter((resource) => resource.kind === "ServiceEntry");
    sink.replace(entries.map((entry) => this.#serviceOf(entry)));
    for (const listener of this.#listeners) listener();
  }

  #logRefused(errors: readonly ConfigError[]): void {
    for (const error of errors)
      this.#options.log.error("configuration refused, the last good version of the file stays", {
        at: formatPlace(error),
        code: error.code,
        error: error.message,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
  }

  #serviceOf(entry: ServiceEntry): RegistryService {
    let service = this.#services.get(entry);
    if (service === undefined) {
      service = serviceOf(entry, this.#options.folder);
      this.#services.set(entry, service);
    }
    return service;
  }
}

/** A ServiceEntry as the contract has it; `folder` is what its origin is told from, where it is in a file. */
export function serviceOf({ metadata, spec, source }: ServiceEntry, folder: string): RegistryService {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    hosts: spec.hosts ?? [],
    addresses: [],
    ports: spec.ports.flatMap(({ name, port, protocol: said, appProtocol }) => {
      const protocol = protocolOfPort({ protocol: said, appProtocol, name, port });
      return protocol === "UDP" ? [] : [{ name, port, protocol }];
    }),
    endpoints: spec.endpoints.map((endpoint): RegistryEndpoint => {
      const { sidecar } = endpoint;
      return {
        name: endpoint.name,
        address: endpoint.address,
        ports: endpoint.ports ?? {},
        labels: endpoint.labels,
        weight: endpoint.weight,
        // A file does not know how an instance is: health checks and passive signals find out.
        health: "unknown",
        serviceAccount: endpoint.serviceAccount,
        sidecar: sidecar && {
          inbound: sidecar.inbound ?? {},
          outbound: sidecar.outbound ?? [],
          capture: undefined,
          httpProxyPort: sidecar.httpProxyPort,
          adminPort: sidecar.adminPort,
          metricsPort: sidecar.metricsPort,
        },
        isSuspect: false,
      };
    }),
    isWritten: true,
    origin: source.line === 0 ? source.file : formatPlace({ ...source, file: relative(folder, source.file) }),
  };
}
