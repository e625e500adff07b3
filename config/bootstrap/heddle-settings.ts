// `node.metadata.heddle`: what Heddle alone wants to know when it starts. Envoy ignores it, so one file runs both.
//
//   node:
//     metadata:
//       heddle:
//         identity:                          # none: certificates come from files, inline or SDS
//           address: 127.0.0.1:15012         # the signing service, gRPC over TLS; IP or host name, and port
//           rootsFile: /etc/heddle/roots.pem # pins that service
//           tokenFile: /run/heddle/token     # join token or projected service-account token
//           spiffeId: spiffe://cluster.local/ns/shop/sa/cart
//           certificateName: default         # the names by which TLS contexts refer to what was signed
//           bundleName: ROOTCA
//         metrics: 127.0.0.1:15020           # Prometheus metrics and health; none: not served
//         stateDir: /var/lib/heddle/cart     # key, certificate and last configuration; none: nothing is kept
//         drainTime: 5s                      # how long SIGTERM waits for what is running
//         concurrency: 1                     # data threads
import { isIP } from "node:net";
import type { SocketAddress } from "../model/address.ts";
import type { HeddleSettings, IdentitySettings } from "../model/bootstrap.ts";
import { describeValue, isObject } from "../load/load.ts";
import { suggest } from "../schema/suggest.ts";
import type { Scope } from "../xds/issues.ts";

const DEFAULTS = { drainTimeMs: 5000, concurrency: 1, certificateName: "default", bundleName: "ROOTCA" };
const FIELDS = ["identity", "metrics", "stateDir", "drainTime", "concurrency"];
const IDENTITY_FIELDS = ["address", "rootsFile", "tokenFile", "spiffeId", "certificateName", "bundleName"];

export function readHeddleSettings(value: unknown, scope: Scope): HeddleSettings {
  const settings = fieldsOf(value, FIELDS, scope);
  return {
    identity:
      settings["identity"] === undefined ? undefined : readIdentity(settings["identity"], scope.field("identity")),
    metrics:
      settings["metrics"] === undefined ? undefined : readAddress(settings["metrics"], scope.field("metrics"), "ip"),
    stateDir: settings["stateDir"] === undefined ? undefined : readText(settings, "stateDir", scope),
    drainTimeMs: readDuration(settings["drainTime"], DEFAULTS.drainTimeMs, scope.field("drainTime")),
    concurrency: readCount(settings["concurrency"], DEFAULTS.concurrency, scope.field("concurrency")),
  };
}

function readIdentity(value: unknown, scope: Scope): IdentitySettings {
  const settings = fieldsOf(value, IDENTITY_FIELDS, scope);
  const spiffeId = readText(settings, "spiffeId", scope);
  // SPIFFE ID specification §2: a trust domain of lower-case letters, digits, dots, dashes and underscores, and a path.
  if (spiffeId !== "" && !/^spiffe:\/\/[a-z0-9._-]+(\/[a-zA-Z0-9._-]+)+$/.test(spiffeId)) {
    scope.field("spiffeId").invalid(`must be a SPIFFE ID with a path: got "${spiffeId}"`);
  }
  return {
    address: readAddress(settings["address"], scope.field("address"), "host"),
    rootsFile: readText(settings, "rootsFile", scope),
    tokenFile: readText(settings, "tokenFile", scope),
    spiffeId,
    certificateName: readText(settings, "certificateName", scope, DEFAULTS.certificateName),
    bundleName: readText(settings, "bundleName", scope, DEFAULTS.bundleName),
  };
}

function fieldsOf(value: unknown, names: readonly string[], scope: Scope): Record<string, unknown> {
  if (value === undefined) return {};
  if (!isObject(value)) {
    scope.invalid(`must be a mapping: got ${describeValue(value)}`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (names.includes(name)) continue;
    const near = suggest(name, names);
    scope.field(name).invalid(`no setting has this name${near === undefined ? "" : `: did you mean ${near}?`}`);
  }
  return value;
}

function readText(settings: Record<string, unknown>, name: string, scope: Scope, fallback?: string): string {
  const value = settings[name] ?? fallback;
  if (typeof value === "string" && value !== "") return value;
  scope.field(name).invalid(`must be text: got ${describeValue(value)}`);
  return "";
}

/** `127.0.0.1:15020`, `[::1]:15020` or, where a host is good too, `control-plane.heddle:15012`. */
function readAddress(value: unknown, scope: Scope, kind: "ip" | "host"): SocketAddress {
  const parts = typeof value === "string" ? /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(value) : null;
  const address = parts?.[1] ?? parts?.[2] ?? "";
  const port = Number(parts?.[3] ?? 0);
  if (parts === null || port > 65535 || (kind === "ip" && isIP(address) === 0)) {
    const example = kind === "ip" ? "127.0.0.1:15020" : "control-plane.heddle:15012";
    scope.invalid(
      `must be ${kind === "ip" ? "an IP address" : "a host"} and a port, as ${example}: got ${describeValue(value)}`,
    );
  }
  return { address, port };
}

function readDuration(value: unknown, fallbackMs: number, scope: Scope): number {
  if (value === undefined) return fallbackMs;
  const parts = typeof value === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(value) : null;
  if (parts !== null) return Number(parts[1]) * { ms: 1, s: 1000, m: 60_000 }[parts[2] as "ms" | "s" | "m"];
  scope.invalid(`must be a duration, as 5s or 500ms: got ${describeValue(value)}`);
  return fallbackMs;
}

function readCount(value: unknown, fallback: number, scope: Scope): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 128) return value;
  scope.invalid(`must be a whole number between 1 and 128: got ${describeValue(value)}`);
  return fallback;
}
