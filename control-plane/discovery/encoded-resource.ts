// Resources as bytes with their versions, made once for all proxies that are given the same object.
import type { Any } from "@bufbuild/protobuf/wkt";
import { encodeResource, versionOf, type ResourceModel } from "#config/xds/resource.ts";
import type { VirtualHost } from "#config/model/route.ts";
import type { ResourceKind } from "#config/xds/type-urls.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { ProxyResources } from "../mesh/resources.ts";

export interface EncodedResource {
  readonly name: string;
  /** A hash of the content: equal content has an equal version in every process. */
  readonly version: string;
  readonly any: Any;
  /** The load assignment that a cluster waits for; it must be pushed again with each change of the cluster. */
  readonly assignment: string | undefined;
  /** Other names that it answers to: those of a virtual host asked for on demand. */
  readonly aliases?: readonly string[];
}

export type EncodedResources = ReadonlyMap<string, EncodedResource>;

/** What one proxy may have, at one version of the mesh. */
export interface Snapshot {
  readonly version: string;
  readonly resources: Readonly<Record<ResourceKind, EncodedResources>>;
}

/** Encodes with a memory: by resource and by map, both as long as somebody else holds them. */
export class Encoder {
  readonly #log: Log;
  readonly #resources = new WeakMap<object, EncodedResource>();
  readonly #maps = new WeakMap<object, EncodedResources>();

  constructor(log: Log) {
    this.#log = log;
  }

  encode(resources: ProxyResources): Snapshot {
    const { listeners, routes, virtualHosts, clusters, endpoints, secrets } = resources;
    const cluster = this.#encodeAll(clusters, (model) => ({ kind: "cluster", model }));
    const assignments = this.#encodeAll(endpoints, (model) => ({ kind: "endpoints", model }));
    return {
      version: resources.version,
      resources: {
        cluster,
        endpoints: this.#complete(cluster, assignments),
        listener: this.#encodeAll(listeners, (model) => ({ kind: "listener", model })),
        route: this.#encodeAll(routes, (model) => ({ kind: "route", model })),
        virtualHost: this.#encodeHosts(virtualHosts),
        secret: this.#encodeAll(secrets, (model) => ({ kind: "secret", model })),
      },
    };
  }

  /**
   * An empty assignment for each cluster that has none: an Envoy that is told "removed" instead keeps the cluster warming, and
   * with it every further CDS response (seen with 1.40).
   */
  #complete(clusters: EncodedResources, assignments: EncodedResources): EncodedResources {
    const missing = [...clusters.values()].flatMap(({ assignment }) =>
      assignment === undefined || assignments.has(assignment) ? [] : [assignment],
    );
    if (missing.length === 0) return assignments;
    const complete = new Map(assignments);
    for (const name of missing) complete.set(name, this.#emptyAssignment(name));
    return complete;
  }

  #emptyAssignment(name: string): EncodedResource {
    const any = encodeResource({
      kind: "endpoints",
      model: { cluster: name, localities: [], overprovisioningFactor: 140 },
    });
    return { name, version: versionOf(any), any, assignment: undefined };
  }

  /** Each under the name with which it was asked for, and all its hosts as aliases, so that no other is asked for. */
  #encodeHosts(hosts: ReadonlyMap<string, VirtualHost>): EncodedResources {
    const known = this.#maps.get(hosts);
    if (known !== undefined) return known;
    const encoded = new Map<string, EncodedResource>();
    for (const [name, host] of hosts) {
      const resource = this.#tryEncode(host.name, host, (model) => ({ kind: "virtualHost", model }));
      const table = name.slice(0, name.lastIndexOf("/"));
      const aliases = host.domains.map((domain) => `${table}/${domain}`);
      if (resource !== undefined) encoded.set(name, { ...resource, name, aliases });
    }
    this.#maps.set(hosts, encoded);
    return encoded;
  }

  #encodeAll<T extends object>(
    models: ReadonlyMap<string, T>,
    toResource: (model: T) => ResourceModel,
  ): EncodedResources {
    const known = this.#maps.get(models);
    if (known !== undefined) return known;
    const encoded = new Map<string, EncodedResource>();
    for (const [name, model] of models) {
      const resource = this.#tryEncode(name, model, toResource);
      if (resource !== undefined) encoded.set(name, resource);
    }
    this.#maps.set(models, encoded);
    return encoded;
  }

  /** One resource that cannot be written does not keep the others from their proxies. */
  #tryEncode<T extends object>(
    name: string,
    model: T,
    toResource: (model: T) => ResourceModel,
  ): EncodedResource | undefined {
    const known = this.#resources.get(model);
    if (known !== undefined) return known;
    const resource = toResource(model);
    try {
      const any = encodeResource(resource);
      const encoded = { name, version: versionOf(any), any, assignment: assignmentOf(resource) };
      this.#resources.set(model, encoded);
      return encoded;
    } catch (error) {
      this.#log.error("resource not encoded", { kind: resource.kind, name, reason: describeError(error) });
      return undefined;
    }
  }
}

function assignmentOf(resource: ResourceModel): string | undefined {
  if (resource.kind !== "cluster") return undefined;
  const { name, discovery } = resource.model;
  if (discovery.kind !== "eds") return undefined;
  return discovery.serviceName === "" ? name : discovery.serviceName;
}
