// What the proxy of a pod does for the kubelet and for Prometheus: probes of the application and its metrics, as the injector
// writes them into the environment of the proxy (`HEDDLE_PROBES`, `HEDDLE_APP_METRICS`).
import { isObject } from "../load/values.ts";

/** The application beside the proxy, as its own pod says it. */
export interface ApplicationSettings {
  /** The pod's own addresses; the first of each family is dialled, as the kubelet would. */
  readonly addresses: readonly string[];
  /** By `<container>/<kind>`, the end of the path `/probes/<container>/<kind>`, or of a hook's `/probes/<key>/<container>/<kind>`. */
  readonly probes: ReadonlyMap<string, ApplicationProbe>;
  readonly metrics: ApplicationMetrics | undefined;
}

export type ApplicationProbe = HttpGetProbe | TcpSocketProbe | GrpcHealthProbe;

interface ProbeBasics {
  readonly port: number;
  /** Of the whole probe; 0 = none, as for lifecycle handlers. */
  readonly timeoutMs: number;
}

/** `httpGet`; with `hookKey` it is a postStart or preStop handler, of which any answer is good. */
export interface HttpGetProbe extends ProbeBasics {
  readonly kind: "httpGet";
  readonly scheme: "http" | "https";
  /** Path and query. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Who does not know it cannot have the hook done. */
  readonly hookKey: string | undefined;
}

export interface TcpSocketProbe extends ProbeBasics {
  readonly kind: "tcpSocket";
}

/** `grpc`: the health protocol, in plaintext. */
export interface GrpcHealthProbe extends ProbeBasics {
  readonly kind: "grpc";
  readonly service: string;
}

/** Where the application shows its own metrics. */
export interface ApplicationMetrics {
  readonly scheme: "http" | "https";
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

/** What the environment of a pod says: `POD_IPS` or `POD_IP`, `HEDDLE_PROBES`, `HEDDLE_APP_METRICS`. @throws {TypeError} */
export function readApplication(env: Readonly<Record<string, string | undefined>>): ApplicationSettings {
  const { POD_IPS: all, POD_IP: one = "", HEDDLE_PROBES: probes, HEDDLE_APP_METRICS: metrics } = env;
  return {
    addresses: (all === undefined || all === "" ? one : all).split(",").filter((address) => address !== ""),
    probes: probes === undefined ? new Map() : parseApplicationProbes(probes),
    metrics: metrics === undefined ? undefined : parseApplicationMetrics(metrics),
  };
}

/** Reads `HEDDLE_PROBES`. @throws {TypeError} that says which part is wrong. */
export function parseApplicationProbes(text: string): ReadonlyMap<string, ApplicationProbe> {
  const found = parseObject(text, "HEDDLE_PROBES");
  return new Map(Object.entries(found).map(([id, value]) => [id, parseProbe(value, `HEDDLE_PROBES["${id}"]`)]));
}

/** Reads `HEDDLE_APP_METRICS`. @throws {TypeError} that says which part is wrong. */
export function parseApplicationMetrics(text: string): ApplicationMetrics {
  const where = "HEDDLE_APP_METRICS";
  const found = parseObject(text, where);
  return {
    scheme: schemeOf(found["scheme"], where),
    port: portOf(found["port"], where),
    path: pathOf(found["path"], where),
  };
}

function parseProbe(value: unknown, where: string): ApplicationProbe {
  if (!isObject(value)) throw new TypeError(`${where} must be an object`);
  const port = portOf(value["port"], where);
  const timeoutMs = wholeOf(value["timeoutMs"], `${where}.timeoutMs`, 0, 2 ** 31 - 1);
  switch (value["kind"]) {
    case "httpGet":
      return {
        kind: "httpGet",
        port,
        timeoutMs,
        scheme: schemeOf(value["scheme"], where),
        path: pathOf(value["path"], where),
        headers: headersOf(value["headers"], where),
        hookKey: hookKeyOf(value["hookKey"], where),
      };
    case "tcpSocket":
      return { kind: "tcpSocket", port, timeoutMs };
    case "grpc": {
      const service = value["service"] ?? "";
      if (typeof service !== "string") throw new TypeError(`${where}.service must be text`);
      return { kind: "grpc", port, timeoutMs, service };
    }
    default:
      throw new TypeError(`${where}.kind must be httpGet, tcpSocket or grpc`);
  }
}

function parseObject(text: string, where: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TypeError(`${where} must be JSON`, { cause });
  }
  if (!isObject(value)) throw new TypeError(`${where} must be an object`);
  return value;
}

function schemeOf(value: unknown, where: string): "http" | "https" {
  if (value === undefined || value === "http") return "http";
  if (value === "https") return value;
  throw new TypeError(`${where}.scheme must be http or https`);
}

function portOf(value: unknown, where: string): number {
  return wholeOf(value, `${where}.port`, 1, 65_535);
}

function pathOf(value: unknown, where: string): string {
  if (typeof value === "string" && value.startsWith("/")) return value;
  throw new TypeError(`${where}.path must begin with /`);
}

function headersOf(value: unknown, where: string): readonly (readonly [string, string])[] {
  if (value === undefined) return [];
  const isList = Array.isArray(value) && value.every(isPair);
  if (!isList) throw new TypeError(`${where}.headers must be pairs of texts`);
  return value;
}

function hookKeyOf(value: unknown, where: string): string | undefined {
  if (value === undefined || (typeof value === "string" && /^[\w-]+$/.test(value))) return value;
  throw new TypeError(`${where}.hookKey must be a word`);
}

function isPair(value: unknown): value is readonly [string, string] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "string";
}

function wholeOf(value: unknown, where: string, least: number, most: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new TypeError(`${where} must be a whole number from ${least} to ${most}`);
}
