// A Service and its EndpointSlices as the registry remembers them.
import { isIPv6 } from "node:net";
import { protocolOfPort } from "#config/model/port-protocol.ts";
import { fieldsOf, objectsOf, textListOf, textOf, type KubernetesObject } from "../../kubernetes/objects.ts";
import type { ServicePort } from "../registry.ts";

export interface ServiceRecord {
  readonly namespace: string;
  readonly name: string;
  /** Cluster IPs of both families; none: headless. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
  readonly publishesNotReady: boolean;
  readonly prefersIpv6: boolean;
}

/** undefined for ExternalName, which is a CNAME and has nothing to balance: its target is another service, or outside the mesh. */
export function parseService({ metadata, spec }: KubernetesObject): ServiceRecord | undefined {
  const fields = fieldsOf(spec);
  if (fields["type"] === "ExternalName") return undefined;
  const listed = [...textListOf(fields["clusterIPs"]), textOf(fields["clusterIP"])];
  const addresses = [...new Set(listed)].filter((address) => address !== "" && address !== "None");
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    addresses,
    ports: objectsOf(fields["ports"]).flatMap((port) => parsePort(port)),
    publishesNotReady: fields["publishNotReadyAddresses"] === true,
    prefersIpv6: textListOf(fields["ipFamilies"])[0] === "IPv6",
  };
}

/** A single port may have no name; it is called by its number. UDP and SCTP are left alone. */
function parsePort({ name, port, protocol = "TCP", appProtocol }: Readonly<Record<string, unknown>>): ServicePort[] {
  if (typeof port !== "number" || protocol !== "TCP") return [];
  const hints = { name: textOf(name), port, appProtocol: textOf(appProtocol) || undefined };
  const speaks = protocolOfPort(hints);
  // `appProtocol: udp` on a port of TCP says nothing that could be true.
  return [{ name: portName(hints.name, port), port, protocol: speaks === "UDP" ? "AUTO" : speaks }];
}

function portName(name: string, port: number): string {
  return name === "" ? String(port) : name;
}

export interface SliceRecord {
  readonly namespace: string;
  readonly name: string;
  /** The Service's name; "" where nobody says. */
  readonly service: string;
  readonly isIpv6: boolean;
  /** Port names, as the slice has them ("" for the one without), to the port on its endpoints. */
  readonly ports: Readonly<Record<string, number>>;
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  readonly address: string;
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  readonly zone: string;
  readonly node: string;
  /** undefined: it is no pod. */
  readonly pod: { readonly name: string; readonly uid: string } | undefined;
}

/** undefined for slices of names (FQDN), which no proxy of ours resolves. */
export function parseSlice(object: KubernetesObject): SliceRecord | undefined {
  const { metadata } = object;
  if (object["addressType"] === "FQDN") return undefined;
  const ports: Record<string, number> = {};
  for (const { name, port, protocol = "TCP" } of objectsOf(object["ports"]))
    if (typeof port === "number" && protocol === "TCP") ports[textOf(name)] = port;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    service: metadata.labels["kubernetes.io/service-name"] ?? "",
    isIpv6: object["addressType"] === "IPv6",
    ports,
    endpoints: objectsOf(object["endpoints"]).flatMap((endpoint) => parseEndpoint(endpoint)),
  };
}

function parseEndpoint(endpoint: Readonly<Record<string, unknown>>): SliceEndpoint[] {
  // Consumers take the first address alone (KEP-752); more than one was never used.
  const [address] = textListOf(endpoint["addresses"]);
  if (address === undefined) return [];
  const conditions = fieldsOf(endpoint["conditions"]);
  const target = fieldsOf(endpoint["targetRef"]);
  // An absent `ready` means ready, an absent `serving` means what `ready` says (API reference of EndpointConditions).
  const isReady = conditions["ready"] !== false;
  return [
    {
      address: isIPv6(address) ? address.toLowerCase() : address,
      isReady,
      isServing: typeof conditions["serving"] === "boolean" ? conditions["serving"] : isReady,
      isTerminating: conditions["terminating"] === true,
      zone: textOf(endpoint["zone"]),
      node: textOf(endpoint["nodeName"]),
      pod: target["kind"] === "Pod" ? { name: textOf(target["name"]), uid: textOf(target["uid"]) } : undefined,
    },
  ];
}
