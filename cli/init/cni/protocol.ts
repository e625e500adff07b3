// The protocol between a container runtime and a CNI plugin (CNI specification 1.1.0, sections 2 to 5): the request in the
// environment and on standard input, the result or the error on standard output.
import { HeddleError } from "#lib/errors.ts";

/** Newest last; what a plugin in a chain must give back has been the same since 0.3.0. */
const VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
const NEWEST = "1.1.0";

/** Numbers below 100 are the specification's. */
export const cniCodes = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  undecodable: 6,
  invalidConfiguration: 7,
  notRedirected: 100,
} as const;

/** What the runtime is told; it shows `message` in the pod's events. */
export class CniError extends HeddleError {
  readonly cniCode: number;

  constructor(cniCode: number, message: string, options?: ErrorOptions) {
    super("HDL_CNI", message, options);
    this.cniCode = cniCode;
  }
}

/** The plugin's part of the node's conflist, with what the runtime adds. */
export interface PluginConfig {
  readonly cniVersion: string;
  /** A kubeconfig in JSON. */
  readonly kubeconfig: string;
  /** Where a line is written for each pod; empty: nowhere. */
  readonly log: string;
  /** Flags of `redirect` for every pod of the node. */
  readonly presets: Readonly<Record<string, string>>;
  /** What the plugins before gave; undefined: there are none. */
  readonly prevResult: object | undefined;
}

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;
type Fields = Readonly<Record<string, unknown>>;

/** @throws {CniError} */
export function parseConfig(text: string): PluginConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CniError(cniCodes.undecodable, "The configuration on standard input is not JSON", { cause: error });
  }
  if (!isFields(value)) throw new CniError(cniCodes.undecodable, "The configuration on standard input is no object");
  const { cniVersion = "0.2.0", prevResult, presets } = value;
  if (!VERSIONS.some((version) => version === cniVersion))
    throw new CniError(
      cniCodes.incompatibleVersion,
      `CNI version ${String(cniVersion)} is not one of ${VERSIONS.join(", ")}`,
    );
  return {
    cniVersion: String(cniVersion),
    kubeconfig: textOf(value, "kubeconfig"),
    log: textOf(value, "log"),
    presets: isFields(presets)
      ? Object.fromEntries(Object.entries(presets).map(([name, preset]) => [name, String(preset)]))
      : {},
    prevResult: isFields(prevResult) ? prevResult : undefined,
  };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

/** From CNI_ARGS; undefined: it is no pod of Kubernetes. */
export function tryPodRef(env: Env): PodRef | undefined {
  const args = new Map(
    (env["CNI_ARGS"] ?? "").split(";").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, at), part.slice(at + 1)];
    }),
  );
  const namespace = args.get("K8S_POD_NAMESPACE") ?? "";
  const name = args.get("K8S_POD_NAME") ?? "";
  if (namespace === "" || name === "") return undefined;
  return { namespace, name, uid: args.get("K8S_POD_UID") };
}

/** @throws {CniError} */
export function networkNamespaceOf(env: Env): string {
  const file = env["CNI_NETNS"] ?? "";
  if (file === "") throw new CniError(cniCodes.invalidEnvironment, "CNI_NETNS names no network namespace");
  return file;
}

/** What VERSION answers. */
export function formatVersions(): string {
  return `${JSON.stringify({ cniVersion: NEWEST, supportedVersions: VERSIONS })}\n`;
}

/** A plugin that changes no addresses gives back what it got. */
export function formatResult({ cniVersion, prevResult }: PluginConfig): string {
  return `${JSON.stringify({ ...prevResult, cniVersion })}\n`;
}

export function formatError({ cniCode, message }: CniError, cniVersion: string): string {
  return `${JSON.stringify({ cniVersion, code: cniCode, msg: message })}\n`;
}
