// MeshConfig.tenants as settings of the routing filter: who may name a tenant on this listener, and where its requests may go.
import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";
import type { TenantSettings, TenantSource } from "#config/schema/mesh-config.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { spiffeId, type Workload } from "../../mesh/workload.ts";
import { filterConfig } from "../filter-types.ts";
import { meshConfigOf } from "../scope.ts";

/** For the application beside the proxy, on one of its listeners. `isolate` is what the service's policy says. */
export function outboundTenants(
  reader: MeshReader,
  workload: Workload,
  listen: number,
  isolate: boolean | undefined,
): readonly FilterConfig[] {
  const mesh = meshConfigOf(reader);
  if (mesh.tenants === undefined) return [];
  const self = spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount);
  const isTrusted = (source: NonNullable<TenantSource["header"]>): boolean =>
    (source.trusted.identities ?? []).some((pattern) => matchesIdentity(pattern, self)) ||
    (source.trusted.listeners ?? []).includes(`${workload.id}:${listen}`);
  return [routingFilter(mesh.tenants, isolate, (source) => (isTrusted(source) ? ["local"] : []))];
}

/**
 * For peers of the mesh. A workload whose listener is believed speaks for its clients on the next hop too, so its identity is
 * believed there. The choice of an instance was made by the caller: there is nothing to isolate behind this listener.
 */
export function inboundTenants(reader: MeshReader): readonly FilterConfig[] {
  const mesh = meshConfigOf(reader);
  if (mesh.tenants === undefined) return [];
  const identitiesOf = (source: NonNullable<TenantSource["header"]>): readonly string[] => {
    const entrances = (source.trusted.listeners ?? []).flatMap((listener) => {
      const workload = reader.get("workloads", listener.slice(0, listener.lastIndexOf(":")));
      return workload === undefined ? [] : [spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount)];
    });
    return [...new Set([...(source.trusted.identities ?? []), ...entrances])];
  };
  return [routingFilter(mesh.tenants, false, identitiesOf)];
}

function routingFilter(
  tenants: TenantSettings,
  isolate: boolean | undefined,
  trustedOf: (source: NonNullable<TenantSource["header"]>) => readonly string[],
): FilterConfig {
  const sources = tenants.sources.map((source): JsonValue => {
    if (source.header !== undefined) {
      const { name, onUntrusted } = source.header;
      return { header: { name: name.toLowerCase(), trusted: trustedOf(source.header), onUntrusted } };
    }
    if (source.peerIdentity !== undefined) return { identity: { pattern: source.peerIdentity.pattern } };
    return { claim: { name: source.jwtClaim?.name ?? "" } };
  });
  return filterConfig("routing", {
    label: tenants.labelKey,
    isolate: isolate ?? tenants.isolate,
    withoutTenant: tenants.withoutTenant,
    sources,
  });
}

/** `*` stands for any text without `/`. */
export function matchesIdentity(pattern: string, identity: string): boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^/]*")}$`).test(identity);
}
