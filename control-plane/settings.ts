// The control plane's settings, read from its command line and checked before anything is opened.
import { statSync } from "node:fs";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import type { SocketAddress } from "#config/model/address.ts";
import { HeddleError } from "#lib/errors.ts";
import type { LogLevel } from "#lib/log.ts";

/**
 * Every setting by its flag. Each may be given in the environment instead: `--log-level` as HEDDLE_LOG_LEVEL, a flag without a value as
 * `true`; the flag holds over it.
 */
export const settingOptions = {
  config: { type: "string", value: "FOLDER", help: "folder of YAML: services, routes, policies" },
  kubernetes: {
    type: "boolean",
    help: "watch the Kubernetes cluster that we run in (or KUBECONFIG's): its services, routes, policies; with --config or without",
  },
  state: { type: "string", value: "DIR", help: "folder of state (0700): the mesh's root and join tokens" },
  "secure-address": {
    type: "string",
    value: "ADDR",
    help: "xDS and certificates over TLS (default 127.0.0.1:15012)",
  },
  "xds-address": {
    type: "string",
    value: "ADDR",
    help: "xDS in plaintext, loopback only: for Envoy and gRPC clients on a laptop (default 127.0.0.1:15010)",
  },
  "metrics-address": {
    type: "string",
    value: "ADDR",
    help: "/metrics, /ready, /debug/*: what heddle status asks (default 127.0.0.1:15014)",
  },
  "system-namespace": {
    type: "string",
    value: "NAME",
    help: "namespace of our own in Kubernetes (default: that of our pod, else heddle-system)",
  },
  "trust-domain": {
    type: "string",
    value: "NAME",
    help: "trust domain of all identities, whatever the MeshConfig says (default: the MeshConfig's)",
  },
  "ca-secret": {
    type: "string",
    value: "NAME",
    help: "Secret with the mesh's authority (default heddle-ca, which is made where it is missing; another is awaited)",
  },
  "cluster-domain": {
    type: "string",
    value: "NAME",
    help: "what names of Services end with in Kubernetes (default cluster.local)",
  },
  "webhook-address": {
    type: "string",
    value: "ADDR",
    help: "the injection webhook over HTTPS, in Kubernetes (default: not served)",
  },
  "injector-settings": {
    type: "string",
    value: "FILE",
    help: "YAML: images, resources and defaults of injected proxies (default: those of heddle inject)",
  },
  "log-level": { type: "string", value: "LEVEL", help: "debug, info, warn or error (default info)" },
} as const;

export interface ControlPlaneSettings {
  /** Folder of YAML: services and policies. At least one of it and `kubernetes` is there. */
  readonly configFolder: string | undefined;
  readonly kubernetes: KubernetesSettings | undefined;
  /** 0700 folder: the mesh's root, join tokens. */
  readonly stateDir: string;
  /** xDS in plaintext, loopback only. */
  readonly xdsAddress: SocketAddress;
  /** xDS and certificates over TLS. */
  readonly secureAddress: SocketAddress;
  /** Metrics and debugging over HTTP. */
  readonly metricsAddress: SocketAddress;
  /** Holds over the MeshConfig's. */
  readonly trustDomain: string | undefined;
  readonly logLevel: LogLevel;
  /** Time for open calls after SIGTERM. */
  readonly drainMs: number;
}

export interface KubernetesSettings {
  /** Where our own Leases, Secrets and ConfigMaps are. */
  readonly namespace: string;
  /** Our pod's name, or the machine's. */
  readonly replica: string;
  /** undefined: the one that we make ourselves. */
  readonly caSecret: string | undefined;
  /** undefined: cluster.local. */
  readonly clusterDomain: string | undefined;
  /** undefined: not served here. */
  readonly webhookAddress: SocketAddress | undefined;
  readonly injectorSettings: string | undefined;
}

/** A setting that cannot be used; its message names it. */
export class SettingsError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_SETTINGS", message, options);
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws {SettingsError} naming the setting. */
export function parseSettings(argv: readonly string[], environment: Environment = {}): ControlPlaneSettings {
  const values = { ...readEnvironment(environment), ...parseArguments(argv) };
  const xdsAddress = parseAddress("--xds-address", values["xds-address"] ?? "127.0.0.1:15010");
  if (!isLoopback(xdsAddress.address))
    throw new SettingsError(`--xds-address serves plaintext and must be a loopback address: got ${xdsAddress.address}`);
  const kubernetes = values.kubernetes === true ? kubernetesSettings(values, environment) : undefined;
  if (values.config === undefined && kubernetes === undefined)
    throw new SettingsError("--config must be given, or --kubernetes, or both");
  return {
    configFolder: values.config === undefined ? undefined : requireFolder(values.config),
    kubernetes,
    trustDomain: tryDomain("--trust-domain", values["trust-domain"]),
    stateDir: required("--state", values.state),
    xdsAddress,
    secureAddress: parseAddress("--secure-address", values["secure-address"] ?? "127.0.0.1:15012"),
    metricsAddress: parseAddress("--metrics-address", values["metrics-address"] ?? "127.0.0.1:15014"),
    logLevel: parseLevel(values["log-level"] ?? "info"),
    drainMs: 5000,
  };
}

type Values = ReturnType<typeof parseArguments>;

function parseArguments(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: settingOptions }).values;
  } catch (cause) {
    throw new SettingsError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** What the environment says of the settings, as flags would. */
function readEnvironment(environment: Environment): Values {
  const argv = Object.entries(settingOptions).flatMap(([name, { type }]) => {
    const variable = `HEDDLE_${name.toUpperCase().replaceAll("-", "_")}`;
    const value = environment[variable];
    if (value === undefined || value === "") return [];
    if (type === "string") return [`--${name}=${value}`];
    if (value !== "true" && value !== "false")
      throw new SettingsError(`${variable} must be true or false: got ${JSON.stringify(value)}`);
    return value === "true" ? [`--${name}`] : [];
  });
  return parseArguments(argv);
}

/** POD_NAME and POD_NAMESPACE are set by the chart (downward API). */
function kubernetesSettings(values: Values, environment: Environment): KubernetesSettings {
  return {
    namespace: values["system-namespace"] ?? (environment["POD_NAMESPACE"] || "heddle-system"),
    replica: environment["POD_NAME"] || hostname(),
    caSecret: tryDomain("--ca-secret", values["ca-secret"]),
    clusterDomain: tryDomain("--cluster-domain", values["cluster-domain"]),
    webhookAddress:
      values["webhook-address"] === undefined
        ? undefined
        : parseAddress("--webhook-address", values["webhook-address"]),
    injectorSettings: values["injector-settings"],
  };
}

/** RFC 1123: what names of Kubernetes' objects and of domains have in common. */
function tryDomain(name: string, text: string | undefined): string | undefined {
  if (text === undefined || /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text)) return text;
  throw new SettingsError(`${name} must be lower-case letters, digits, dots and dashes: got ${JSON.stringify(text)}`);
}

function required(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new SettingsError(`${name} must be given`);
  return value;
}

function requireFolder(folder: string): string {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new SettingsError(`--config must be a folder: got ${folder}`);
  return folder;
}

function parseAddress(name: string, text: string): SocketAddress {
  const [, bracketed, plain, digits = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? "";
  const port = Number(digits);
  if (isIP(address) === 0 || digits === "" || port > 65_535)
    throw new SettingsError(`${name} must be an IP address and a port, as 127.0.0.1:15012 or [::1]:15012: got ${text}`);
  return { address, port };
}

function parseLevel(text: string): LogLevel {
  if (text === "debug" || text === "info" || text === "warn" || text === "error") return text;
  throw new SettingsError(`--log-level must be debug, info, warn or error: got ${text}`);
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
