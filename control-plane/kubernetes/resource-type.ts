// Kinds of the API as requests name them: their paths, and which versions we can read.

/** One kind of the API. */
export interface ResourceType {
  /** "" is the core group. */
  readonly group: string;
  /** Those that we can read, the one we like best first. */
  readonly versions: readonly [string, ...string[]];
  readonly plural: string;
  readonly kind: string;
}

/** Where objects of a kind are: of all namespaces, of one, or one object (`name`) or a part of it (`status`). */
export function pathOf(
  { group, versions, plural }: ResourceType,
  at: {
    readonly version?: string;
    readonly namespace?: string | undefined;
    readonly name?: string;
    readonly part?: string;
  } = {},
): string {
  const { version = versions[0], namespace, name, part } = at;
  const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const inside = namespace === undefined || namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const object = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${base}${inside}/${plural}${object}${part === undefined ? "" : `/${part}`}`;
}

export const serviceType: ResourceType = { group: "", versions: ["v1"], plural: "services", kind: "Service" };

export const podType: ResourceType = { group: "", versions: ["v1"], plural: "pods", kind: "Pod" };
export const nodeType: ResourceType = { group: "", versions: ["v1"], plural: "nodes", kind: "Node" };
export const endpointSliceType: ResourceType = {
  group: "discovery.k8s.io",
  versions: ["v1"],
  plural: "endpointslices",
  kind: "EndpointSlice",
};
export const leaseType: ResourceType = {
  group: "coordination.k8s.io",
  versions: ["v1"],
  plural: "leases",
  kind: "Lease",
};
