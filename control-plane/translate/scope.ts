// What one translation works with: the recorded view of the mesh, for whom it is, and the backends that it came upon.
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";
import type { MeshReader } from "../mesh/derivation.ts";
import { defaultMeshConfig } from "../mesh/mesh-config.ts";
import type { Dialect } from "../mesh/resources.ts";
import type { MeshSnapshot } from "../mesh/snapshot.ts";
import type { RegistryService, ServicePort } from "../registry/registry.ts";
import { directName, outboundName, subsetName } from "./names.ts";

export interface Scope {
  readonly reader: MeshReader;
  readonly dialect: Dialect;
  /** Whose requests these are: routes of the client's own namespace come first. */
  readonly clientNamespace: string;
}

/** One place that requests can go to: a port of a service, whole or narrowed to a subset with a cluster of its own. */
export interface Backend {
  readonly cluster: string;
  /** `namespace/name`. */
  readonly service: string;
  readonly port: number;
  /** Name of the ServiceSubset whose endpoints alone are in the cluster. */
  readonly subset: string | undefined;
  /** The one endpoint that the connection was going to, in the place of a choice. */
  readonly isDirect: boolean;
}

export function wholeBackend(service: string, port: number): Backend {
  return { cluster: outboundName(service, port), service, port, subset: undefined, isDirect: false };
}

export function subsetBackend(service: string, port: number, subset: string): Backend {
  return { cluster: subsetName(service, port, subset), service, port, subset, isDirect: false };
}

/** For connections to the address of an instance. */
export function directBackend(service: string, port: number): Backend {
  return { ...wholeBackend(service, port), cluster: directName(service, port), isDirect: true };
}

/** The port by number or name; undefined: there is none. */
export function findPort(service: RegistryService | undefined, port: number | string): ServicePort | undefined {
  return service?.ports.find((one) => one.port === port || one.name === port || String(one.port) === port);
}

/** The MeshConfig in force, or what its defaults say. */
export function meshConfigOf(reader: MeshReader): MeshConfigSpec {
  return reader.get("meshConfig", "mesh") ?? defaultMeshConfig();
}

/** The same outside a translation. */
export function meshConfigIn(snapshot: MeshSnapshot | undefined): MeshConfigSpec {
  return snapshot?.tables.meshConfig.get("mesh") ?? defaultMeshConfig();
}
