// MeshConfig.tenants and colours as settings of the routing filter (who may name them on this listener) and of clusters (how they are divided).
import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";
import type { Labels } from "#config/model/route.ts";
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { spiffeId, type Workload } from "../../mesh/workload.ts";
import { filterConfig } from "../filter-types.ts";
import { meshConfigOf } from "../scope.ts";
import { colourSettings, type Trust, type Trusted } from "./colours.ts";

/** For the application beside the proxy, on one of its listeners. */
export function outboundTenants(
  reader: MeshReader,
  workload: Pick<Workload, "id" | "namespace" | "serviceAccount">,
  listen: number,
): readonly FilterConfig[] {
  const mesh = meshConfigOf(reader);
  const self = spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount);
  return routingFilter(mesh, { trustsLocal: true }, (trusted) => ({
    trustedIdentities: [],
    trustsLocal:
      (trusted.identities ?? []).some((pattern) => matchesIdentity(pattern, self)) ||
      (trusted.listeners ?? []).includes(`${workload.id}:${listen}`),
  }));
}

/** For peers of the mesh. A workload whose listener is believed speaks for its clients on the next hop too, so its identity is believed there. */
export function inboundTenants(reader: MeshReader): readonly FilterConfig[] {
  const mesh = meshConfigOf(reader);
  return routingFilter(mesh, { trustsLocal: false }, (trusted) => {
    const entrances = (trusted.listeners ?? []).flatMap((listener) => {
      const workload = reader.get("workloads", listener.slice(0, listener.lastIndexOf(":")));
      return workload === undefined ? [] : [spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount)];
    });
    return { trustedIdentities: [...new Set([...(trusted.identities ?? []), ...entrances])], trustsLocal: false };
  });
}

/**
 * Cluster metadata that makes the filter choose among the tenant's own endpoints. A service without labelled endpoints is
 * everybody's. `isolate` is what the service's policy says.
 */
export function clusterTenants(
  reader: MeshReader,
  endpoints: readonly { readonly labels: Labels }[],
  isolate: boolean | undefined,
): { readonly [key: string]: JsonValue } {
  const { tenants } = meshConfigOf(reader);
  if (tenants === undefined || !(isolate ?? tenants.isolate)) return {};
  if (!endpoints.some(({ labels }) => labels[tenants.labelKey] !== undefined)) return {};
  return { "heddle.tenants": { isolate: true, labelKey: tenants.labelKey } };
}

/** Nothing where the mesh has neither tenants nor colours. `everybody`: who is believed where nobody is named. */
function routingFilter(
  mesh: MeshConfigSpec,
  everybody: Pick<Trust, "trustsLocal">,
  trustOf: (trusted: Trusted) => Trust,
): readonly FilterConfig[] {
  const { tenants } = mesh;
  const colours = colourSettings(mesh, trustOf, everybody);
  const shared = { rule: "MeshConfig default", ...(colours.length === 0 ? {} : { colours }) };
  if (tenants === undefined) return colours.length === 0 ? [] : [filterConfig("routing", shared)];
  // A claim of a JWT needs a verified JWT: RequestAuthentication is not there yet, and the status of MeshConfig says so.
  const sources = tenants.sources.flatMap((source): readonly JsonValue[] => {
    if (source.header !== undefined) {
      const { name, onUntrusted, trusted } = source.header;
      return [{ header: { name: name.toLowerCase(), ...trustOf(trusted), onUntrusted } }];
    }
    return source.peerIdentity === undefined ? [] : [{ peerIdentity: { pattern: source.peerIdentity.pattern } }];
  });
  const { labelKey, withoutTenant } = tenants;
  return [filterConfig("routing", { ...shared, labelKey, withoutTenant, sources })];
}

/** `*` stands for any text without `/`. */
function matchesIdentity(pattern: string, identity: string): boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^/]*")}$`).test(identity);
}
