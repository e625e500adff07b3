// What a folder of YAML says about sidecars: who they are, and at which ports. For commands that run beside the control plane.
import path from "node:path";
import { analyze } from "#config/schema/analyze.ts";
import { durationMs } from "#config/schema/duration.ts";
import { makeSnapshot } from "#control-plane/mesh/snapshot.ts";
import { spiffeId, type Workload } from "#control-plane/mesh/workload.ts";
import { serviceOf } from "#control-plane/registry/file/file-registry.ts";
import { serviceKey } from "#control-plane/registry/registry.ts";
import { meshConfigIn } from "#control-plane/translate/scope.ts";
import { HeddleError } from "#lib/errors.ts";
import { needFolder } from "./analyze.ts";

/** A workload whose sidecar can be started. */
export interface PlannedSidecar {
  /** `namespace/name`, the node's id. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  /** The first service that it is an instance of. */
  readonly service: string;
  readonly address: string;
  readonly serviceAccount: string;
  readonly spiffeId: string;
  readonly locality: { readonly region: string; readonly zone: string } | undefined;
  readonly adminPort: number | undefined;
  readonly metricsPort: number | undefined;
}

export interface MeshFolder {
  readonly folder: string;
  readonly drainTimeMs: number;
  readonly sidecars: readonly PlannedSidecar[];
}

/** The folder has errors. Code `HDL_CLI_MESH`. */
export class MeshFolderError extends HeddleError {
  constructor(message: string) {
    super("HDL_CLI_MESH", message);
  }
}

/** @throws {MeshFolderError} when the folder has errors, with the first of them; {UnreachableError} when there is none. */
export async function readMeshFolder(folder: string): Promise<MeshFolder> {
  await needFolder(folder);
  const { resources, errors } = await analyze(folder);
  const [first] = errors;
  if (first !== undefined) {
    const others = errors.length === 1 ? "" : ` (and ${errors.length - 1} more: heddle analyze ${folder})`;
    throw new MeshFolderError(`The configuration in ${folder} has errors: ${first.format()}${others}`);
  }
  const services = new Map(
    resources
      .filter((resource) => resource.kind === "ServiceEntry")
      .map((entry) => serviceOf(entry, folder))
      .map((service) => [serviceKey(service), service] as const),
  );
  const snapshot = makeSnapshot({ services, workloads: new Map(), resources }, undefined);
  const mesh = meshConfigIn(snapshot);
  return {
    folder: path.resolve(folder),
    drainTimeMs: durationMs(mesh.drain.timeout),
    sidecars: [...snapshot.tables.workloads.values()].map((workload) => plan(workload, mesh.trustDomain)),
  };
}

/** @throws {MeshFolderError} when the folder has no such workload, or it has no sidecar. */
export function findSidecar(mesh: MeshFolder, id: string): PlannedSidecar {
  const found = mesh.sidecars.find((sidecar) => sidecar.id === id);
  if (found !== undefined) return found;
  const known = mesh.sidecars.map((sidecar) => sidecar.id).join(", ");
  throw new MeshFolderError(
    `There is no workload "${id}" with a sidecar in ${mesh.folder}: ${known === "" ? "no endpoint there has one" : `there are ${known}`}`,
  );
}

function plan(workload: Workload, trustDomain: string): PlannedSidecar {
  const { id, namespace, name, address, serviceAccount, labels, adminPort, metricsPort } = workload;
  const { region = "", zone = "" } = labels;
  return {
    id,
    namespace,
    name,
    service: workload.inbound[0]?.service.split("/")[1] ?? name,
    address,
    serviceAccount,
    spiffeId: spiffeId(trustDomain, namespace, serviceAccount),
    locality: region === "" && zone === "" ? undefined : { region, zone },
    adminPort,
    metricsPort,
  };
}
