// Which routes are attached to one port of a service, as GAMMA says: the client's own routes first, gRPC before HTTP.
import type { MeshReader } from "../../mesh/derivation.ts";
import type { RouteResource } from "../../mesh/snapshot.ts";
import type { RegistryService, ServicePort } from "../../registry/registry.ts";
import { serviceKey } from "../../registry/registry.ts";

export type ParentRef = NonNullable<RouteResource["spec"]["parentRefs"]>[number];

/** Why a parent does not take a route; undefined: it does. Words of Gateway API's `Accepted` condition. */
export interface Refusal {
  readonly reason: "NoMatchingParent" | "UnsupportedProtocol";
  readonly message: string;
}

/** A Service, however it is called: by Kubernetes' kind or by ours. Other parents (a Gateway) are for other controllers. */
export function isServiceParent(parent: ParentRef): boolean {
  return (
    (parent.kind === "Service" && (parent.group === "" || parent.group === "core")) ||
    (parent.kind === "ServiceEntry" && parent.group === "heddle.dev")
  );
}

export function namesPort(parent: ParentRef, port: ServicePort): boolean {
  return (
    (parent.port === undefined || parent.port === port.port) &&
    (parent.sectionName === undefined || parent.sectionName === port.name)
  );
}

/**
 * Routes of the client's namespace (consumer routes) take the place of those of the service's namespace (producer routes);
 * routes of other namespaces are for their own clients alone. GEP-1294.
 */
export function attachedRoutes(
  reader: MeshReader,
  service: RegistryService,
  port: ServicePort,
  clientNamespace: string,
): readonly RouteResource[] {
  const key = serviceKey(service);
  const routes = (reader.get("routes", key) ?? []).filter((route) =>
    (route.spec.parentRefs ?? []).some(
      (parent) =>
        isServiceParent(parent) &&
        `${parent.namespace ?? route.metadata.namespace}/${parent.name}` === key &&
        namesPort(parent, port),
    ),
  );
  const consumer = routes.filter((route) => route.metadata.namespace === clientNamespace);
  if (clientNamespace !== service.namespace && consumer.length > 0) return consumer;
  return routes.filter((route) => route.metadata.namespace === service.namespace);
}

/** Whether the parent, a Service, is there and takes the route, for the route's status. */
export function refusalOf(reader: MeshReader, route: RouteResource, parent: ParentRef): Refusal | undefined {
  const key = `${parent.namespace ?? route.metadata.namespace}/${parent.name}`;
  const service = reader.get("services", key);
  if (service === undefined) return { reason: "NoMatchingParent", message: `there is no service "${key}"` };
  const ports = service.ports.filter((port) => namesPort(parent, port));
  if (ports.length === 0)
    return {
      reason: "NoMatchingParent",
      message: `service "${key}" has no port ${parent.port ?? parent.sectionName ?? ""}`,
    };
  if (ports.every((port) => port.protocol === "TCP"))
    return {
      reason: "UnsupportedProtocol",
      message: `service "${key}" speaks opaque TCP there, which has no requests to route`,
    };
  return undefined;
}
