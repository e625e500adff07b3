// The state folder as commands see it: where each workload's bootstrap lies, and where the control plane of `heddle up` listens.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import { writePrivateFile } from "#control-plane/identity/private-file.ts";
import { fieldOf, numberOf, textOf } from "./http-json.ts";

export const DEFAULT_STATE_FOLDER = ".heddle";

/** Where the control plane listens, each `address:port`. */
export interface PlaneAddresses {
  readonly xds: string;
  readonly secure: string;
  readonly metrics: string;
}

/** The ports that operators of control planes know, moved by an offset. */
export function planeAddresses(offset: number): PlaneAddresses {
  const at = (port: number): string => `127.0.0.1:${port + offset}`;
  return { xds: at(15_010), secure: at(15_012), metrics: at(15_014) };
}

/** What a bootstrap in the state folder says. */
export interface WrittenWorkload {
  /** `namespace/name`. */
  readonly id: string;
  readonly admin: string;
  readonly spiffeId: string;
}

/** Folder of one workload below the state folder. */
export function workloadFolder(state: string, id: string): string {
  return path.join(state, "workloads", ...id.split("/"));
}

/** Every workload that has a bootstrap below the state folder, in the order of their names. */
export function writtenWorkloads(state: string): readonly WrittenWorkload[] {
  const folder = path.join(state, "workloads");
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => path.basename(file) === "bootstrap.yaml")
    .toSorted()
    .map((file) => readWorkload(path.join(folder, file)))
    .filter((workload) => workload !== undefined);
}

function readWorkload(file: string): WrittenWorkload | undefined {
  const [document] = parseYaml(readFileSync(file, "utf8"), file).documents;
  const node = fieldOf(document?.value, "node");
  const identity = fieldOf(fieldOf(fieldOf(node, "metadata"), "heddle"), "identity");
  const socket = fieldOf(fieldOf(fieldOf(document?.value, "admin"), "address"), "socket_address");
  const port = numberOf(socket, "port_value");
  if (textOf(node, "id") === "" || Number.isNaN(port)) return undefined;
  const admin: SocketAddress = { address: textOf(socket, "address"), port };
  return { id: textOf(node, "id"), admin: formatAddress(admin), spiffeId: textOf(identity, "spiffe_id") };
}

/** Says to other commands where this mesh's control plane is. */
export function writePlaneAddresses(state: string, addresses: PlaneAddresses): void {
  writePrivateFile(path.join(state, "control-plane.json"), `${JSON.stringify(addresses)}\n`);
}

/** undefined: nobody wrote any there. */
export function readPlaneAddresses(state: string): PlaneAddresses | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path.join(state, "control-plane.json"), "utf8"));
  } catch {
    return undefined;
  }
  const addresses = { xds: textOf(value, "xds"), secure: textOf(value, "secure"), metrics: textOf(value, "metrics") };
  return addresses.metrics === "" ? undefined : addresses;
}
