// `node.metadata.heddle`: what Heddle alone wants to know when it starts. Envoy ignores it, so one file runs both.
//
//   node:
//     metadata:
//       heddle:
//         identity:                                    # none: certificates come from files, inline or SDS
//           address: { address: 127.0.0.1, port: 15012 } # the signing service, gRPC over TLS; IP or host name
//           roots_file: /etc/heddle/roots.pem          # pins that service
//           token_file: /run/heddle/token              # join token or projected service-account token
//           renew_with: certificate                    # or token: renewals show what token_file holds then
//           spiffe_id: spiffe://cluster.local/ns/shop/sa/cart
//           certificate_name: default                  # the names by which TLS contexts refer to what was signed
//           bundle_name: ROOTCA
//         metrics: { address: 127.0.0.1, port: 15020 } # Prometheus metrics and health; none: not served
//         state_dir: /var/lib/heddle/cart              # key, certificate, last configuration; none: nothing is kept
//         drain_time_ms: 5000                          # how long SIGTERM waits for what is running
//         termination_drain_ms: 0                      # how long before that all is served as before, but unready
//         concurrency: 1                               # data threads
//         allow_remote_admin: false                    # true: the admin address may be other than loopback
//
// Like the rest of the file, names may be lowerCamel too.
import { isIP } from "node:net";
import type { SocketAddress } from "../model/address.ts";
import type { HeddleSettings, IdentitySettings } from "../model/bootstrap.ts";
import { describeValue, isObject } from "../load/values.ts";
import { suggest } from "../schema/suggest.ts";
import type { Scope } from "../xds/issues.ts";
import { toSnakeCase } from "./message-reader.ts";

const DEFAULTS = {
  drainTimeMs: 5000,
  terminationDrainMs: 0,
  concurrency: 1,
  certificateName: "default",
  bundleName: "ROOTCA",
};
const MAX_DRAIN_MS = 24 * 3_600_000;
const FIELDS = [
  "identity",
  "metrics",
  "state_dir",
  "drain_time_ms",
  "termination_drain_ms",
  "concurrency",
  "allow_remote_admin",
];
const IDENTITY_FIELDS = [
  "address",
  "roots_file",
  "token_file",
  "renew_with",
  "spiffe_id",
  "certificate_name",
  "bundle_name",
];
const ADDRESS_FIELDS = ["address", "port"];

export function readHeddleSettings(value: unknown, scope: Scope): HeddleSettings {
  const settings = fieldsOf(value, FIELDS, scope);
  return {
    identity:
      settings["identity"] === undefined ? undefined : readIdentity(settings["identity"], scope.field("identity")),
    metrics:
      settings["metrics"] === undefined ? undefined : readAddress(settings["metrics"], scope.field("metrics"), "ip"),
    stateDir: settings["state_dir"] === undefined ? undefined : readText(settings, "state_dir", scope),
    drainTimeMs: readWhole(
      settings["drain_time_ms"],
      DEFAULTS.drainTimeMs,
      [0, MAX_DRAIN_MS],
      scope.field("drain_time_ms"),
    ),
    terminationDrainMs: readWhole(
      settings["termination_drain_ms"],
      DEFAULTS.terminationDrainMs,
      [0, MAX_DRAIN_MS],
      scope.field("termination_drain_ms"),
    ),
    allowRemoteAdmin: readBoolean(settings["allow_remote_admin"], scope.field("allow_remote_admin")),
    concurrency: readWhole(settings["concurrency"], DEFAULTS.concurrency, [1, 128], scope.field("concurrency")),
  };
}

function readIdentity(value: unknown, scope: Scope): IdentitySettings {
  const settings = fieldsOf(value, IDENTITY_FIELDS, scope);
  const spiffeId = readText(settings, "spiffe_id", scope);
  // SPIFFE ID specification §2: a trust domain of lower-case letters, digits, dots, dashes and underscores, and a path.
  if (spiffeId !== "" && !/^spiffe:\/\/[a-z0-9._-]+(\/[a-zA-Z0-9._-]+)+$/.test(spiffeId)) {
    scope.field("spiffe_id").invalid(`must be a SPIFFE ID with a path: got "${spiffeId}"`);
  }
  return {
    address: readAddress(settings["address"], scope.field("address"), "host"),
    rootsFile: readText(settings, "roots_file", scope),
    tokenFile: readText(settings, "token_file", scope),
    renewWith: readRenewal(settings["renew_with"], scope.field("renew_with")),
    spiffeId,
    certificateName: readText(settings, "certificate_name", scope, DEFAULTS.certificateName),
    bundleName: readText(settings, "bundle_name", scope, DEFAULTS.bundleName),
  };
}

function fieldsOf(value: unknown, names: readonly string[], scope: Scope): Record<string, unknown> {
  if (value === undefined) return {};
  if (!isObject(value)) {
    scope.invalid(`must be a mapping: got ${describeValue(value)}`);
    return {};
  }
  const fields: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = toSnakeCase(key);
    if (names.includes(name)) {
      fields[name] = item;
      continue;
    }
    const near = suggest(name, names);
    scope.field(key).invalid(`no setting has this name${near === undefined ? "" : `: did you mean ${near}?`}`);
  }
  return fields;
}

function readText(settings: Record<string, unknown>, name: string, scope: Scope, fallback?: string): string {
  const value = settings[name] ?? fallback;
  if (typeof value === "string" && value !== "") return value;
  scope.field(name).invalid(`must be text: got ${describeValue(value)}`);
  return "";
}

function readRenewal(value: unknown, scope: Scope): IdentitySettings["renewWith"] {
  if (value === undefined || value === "certificate" || value === "token") return value ?? "certificate";
  scope.invalid(`must be certificate or token: got ${describeValue(value)}`);
  return "certificate";
}

function readAddress(value: unknown, scope: Scope, kind: "ip" | "host"): SocketAddress {
  if (!isObject(value)) {
    scope.invalid(`must be a mapping with address and port: got ${describeValue(value)}`);
    return { address: "0.0.0.0", port: 0 };
  }
  const fields = fieldsOf(value, ADDRESS_FIELDS, scope);
  const address = readText(fields, "address", scope);
  if (address !== "" && kind === "ip" && isIP(address) === 0) {
    scope.field("address").invalid(`must be an IP address: got "${address}"`);
  }
  return { address, port: readWhole(fields["port"], undefined, [0, 65535], scope.field("port")) };
}

function readBoolean(value: unknown, scope: Scope): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  scope.invalid(`must be true or false: got ${describeValue(value)}`);
  return false;
}

/** A whole number; without a fallback it must be there. */
function readWhole(
  value: unknown,
  fallback: number | undefined,
  [min, max]: readonly [min: number, max: number],
  scope: Scope,
): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  scope.invalid(`must be a whole number between ${min} and ${max}: got ${describeValue(value)}`);
  return fallback ?? 0;
}
