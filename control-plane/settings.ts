// The control plane's settings, read from its command line and checked before anything is opened.
import { statSync } from "node:fs";
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import type { SocketAddress } from "#config/model/address.ts";
import { HeddleError } from "#lib/errors.ts";
import type { LogLevel } from "#lib/log.ts";

export interface ControlPlaneSettings {
  /** Folder of YAML: services and policies. */
  readonly configFolder: string;
  /** 0700 folder: the mesh's root, join tokens. */
  readonly stateDir: string;
  /** xDS in plaintext, loopback only. */
  readonly xdsAddress: SocketAddress;
  /** xDS and certificates over TLS. */
  readonly secureAddress: SocketAddress;
  /** Metrics and debugging over HTTP. */
  readonly metricsAddress: SocketAddress;
  readonly logLevel: LogLevel;
  /** Time for open calls after SIGTERM. */
  readonly drainMs: number;
}

/** A setting that cannot be used; its message names it. */
export class SettingsError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_SETTINGS", message, options);
  }
}

export const controlPlaneUsage = `heddle control-plane --config FOLDER --state DIR [options]

Reads services and policies from FOLDER and serves them to proxies over xDS.

Options:
  --config FOLDER             YAML of ServiceEntries, routes and policies (required)
  --state DIR                 keeps the mesh's root and join tokens (required)
  --secure-address HOST:PORT  xDS and certificates over TLS (default 127.0.0.1:15012)
  --xds-address HOST:PORT     xDS in plaintext, loopback only (default 127.0.0.1:15010)
  --metrics-address HOST:PORT metrics and /debug over HTTP (default 127.0.0.1:15014)
  --log-level LEVEL           debug, info, warn or error (default info)

Examples:
  heddle control-plane --config ./mesh --state ./.heddle
  curl -s http://127.0.0.1:15014/debug/config

Exit codes: 0 stopped by a signal, 1 failed, 2 a setting is wrong.
`;

/** @throws {SettingsError} naming the setting. */
export function parseSettings(argv: readonly string[]): ControlPlaneSettings {
  const values = parseArguments(argv);
  const xdsAddress = parseAddress("--xds-address", values["xds-address"] ?? "127.0.0.1:15010");
  if (!isLoopback(xdsAddress.address))
    throw new SettingsError(`--xds-address serves plaintext and must be a loopback address: got ${xdsAddress.address}`);
  return {
    configFolder: requireFolder(values.config),
    stateDir: required("--state", values.state),
    xdsAddress,
    secureAddress: parseAddress("--secure-address", values["secure-address"] ?? "127.0.0.1:15012"),
    metricsAddress: parseAddress("--metrics-address", values["metrics-address"] ?? "127.0.0.1:15014"),
    logLevel: parseLevel(values["log-level"] ?? "info"),
    drainMs: 5000,
  };
}

function parseArguments(argv: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...argv],
      options: {
        config: text,
        state: text,
        "xds-address": text,
        "secure-address": text,
        "metrics-address": text,
        "log-level": text,
      },
    }).values;
  } catch (cause) {
    throw new SettingsError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function required(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new SettingsError(`${name} must be given`);
  return value;
}

function requireFolder(value: string | undefined): string {
  const folder = required("--config", value);
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
