// A mesh made from YAML for tests: the same steps as from a folder, without files.
import { loadText } from "#config/load/load.ts";
import { validateAll } from "#config/schema/analyze.ts";
import type { NodeInfo } from "#config/model/bootstrap.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MeshStore } from "../../mesh/store.ts";
import { serviceOf } from "../../registry/file/file-registry.ts";
import {
  serviceKey,
  type RegistryEndpoint,
  type RegistryService,
  type RegistryWorkload,
} from "../../registry/registry.ts";
import type { Resource } from "#config/schema/kinds.ts";
import { ProxySource } from "../proxy-source.ts";

export interface TestMesh {
  readonly store: MeshStore;
  readonly source: ProxySource;
  /** Replaces documents of the same kind and name, or adds them. */
  put(yaml: string): void;
  remove(kind: string, name: string): void;
}

/** Throws when a document is not valid. */
export function makeMesh(
  yaml: string,
  workloads: readonly RegistryWorkload[] = [],
  change: (endpoint: RegistryEndpoint) => RegistryEndpoint = (endpoint) => endpoint,
): TestMesh {
  let resources = parse(yaml);
  const instances = new Map(workloads.map((workload) => [serviceKey(workload), workload]));
  const services = new WeakMap<Resource, RegistryService>();
  const store = new MeshStore(new FakeClock(), {
    workloads: () => instances,
    resources: () => resources,
    services: () => {
      const found = new Map<string, RegistryService>();
      for (const resource of resources) {
        if (resource.kind !== "ServiceEntry") continue;
        const service = services.get(resource) ?? asCaptured(resource, serviceOf(resource, ""), change);
        services.set(resource, service);
        found.set(serviceKey(service), service);
      }
      return found;
    },
    isComplete: () => true,
  });
  const source = new ProxySource(store);
  store.rebuild();
  return {
    store,
    source,
    put(more) {
      const added = parse(more);
      const isReplaced = (old: Resource): boolean => added.some((one) => keyOf(one) === keyOf(old));
      resources = [...resources.filter((old) => !isReplaced(old)), ...added];
      store.rebuild();
    },
    remove(kind, name) {
      resources = resources.filter((one) => one.kind !== kind || one.metadata.name !== name);
      store.rebuild();
    },
  };
}

/**
 * What no folder can say of a service: `test/addresses` are its virtual addresses, and `test/capture` says that the connections of
 * all its instances that have sidecars are redirected.
 */
function asCaptured(
  { metadata: { annotations } }: Resource,
  service: RegistryService,
  change: (endpoint: RegistryEndpoint) => RegistryEndpoint,
): RegistryService {
  const capture = annotations["test/capture"] === undefined ? undefined : { inboundPort: 15_006, outboundPort: 15_001 };
  return {
    ...service,
    isWritten: annotations["test/addresses"] === undefined,
    addresses: annotations["test/addresses"]?.split(" ") ?? [],
    endpoints: service.endpoints.map((endpoint) =>
      change({ ...endpoint, sidecar: endpoint.sidecar && { ...endpoint.sidecar, capture } }),
    ),
  };
}

export function nodeOf(id: string): NodeInfo {
  return { id, cluster: "", region: "", zone: "", subZone: "", metadata: {} };
}

function parse(yaml: string): readonly Resource[] {
  const loaded = loadText(yaml, "test.yaml");
  const { resources, errors } = validateAll(loaded.documents, loaded.errors);
  const [first] = errors;
  if (first !== undefined) throw new Error(first.format());
  return resources;
}

function keyOf(resource: Resource): string {
  return `${resource.kind}/${resource.metadata.namespace}/${resource.metadata.name}`;
}
