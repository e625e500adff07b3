// The bootstrap of a sidecar in a pod of Kubernetes, from the environment that the injector gave it: there is no file.
//
//   POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT   who it is (downward API)                                   required
//   HEDDLE_CONTROL_PLANE                       host:port of xDS and certificates                          required
//   HEDDLE_TRUST_DOMAIN                        default cluster.local
//   HEDDLE_SERVICE                             its name in traces; default <service account>.<namespace>
//   HEDDLE_CONCURRENCY                         data threads; default 1
//   HEDDLE_DRAIN_TIME                          how long SIGTERM waits for what is running; default 5s
//   HEDDLE_TERMINATION_DRAIN                   how long after SIGTERM all is served as before; default 0s
//   HEDDLE_ADMIN_PORT, HEDDLE_METRICS_PORT     default 15000, 15020
import { HeddleError } from "#lib/errors.ts";
import type { SocketAddress } from "../model/address.ts";
import { tryDurationMs } from "../schema/duration.ts";
import { makeSidecarBootstrap } from "./sidecar-bootstrap.ts";

/** Where the injector mounts what a sidecar needs. */
export const podPaths = {
  roots: "/var/run/secrets/heddle.dev/roots/roots.pem",
  token: "/var/run/secrets/heddle.dev/token/token",
  state: "/var/lib/heddle",
} as const;

export interface PodFacts {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The kernel knows IPv6: one socket then serves both families. */
  readonly hasIpv6: boolean;
}

/** The environment of a pod lacks something, or says something that cannot be used. Code `HDL_POD_ENVIRONMENT`. */
export class PodEnvironmentError extends HeddleError {
  constructor(problems: readonly string[]) {
    super("HDL_POD_ENVIRONMENT", `Cannot start in a pod: ${problems.join("; ")}`);
  }
}

/** @throws {PodEnvironmentError} with all that is wrong at once, each variable named. */
export function makePodBootstrap({ env, hasIpv6 }: PodFacts): object {
  const problems: string[] = [];
  const read = new EnvironmentReader(env, problems);
  const namespace = read.required("POD_NAMESPACE");
  const serviceAccount = read.required("SERVICE_ACCOUNT");
  const trustDomain = read.text("HEDDLE_TRUST_DOMAIN", "cluster.local");
  const sidecar = {
    namespace,
    workload: read.required("POD_NAME"),
    service: read.text("HEDDLE_SERVICE", `${serviceAccount}.${namespace}`),
    serviceAccount,
    spiffeId: `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
    controlPlane: read.hostAndPort("HEDDLE_CONTROL_PLANE"),
    rootsFile: podPaths.roots,
    tokenFile: podPaths.token,
    renewWith: "token" as const,
    stateDir: podPaths.state,
    admin: { address: "127.0.0.1", port: read.whole("HEDDLE_ADMIN_PORT", 15_000, 65_535) },
    metrics: { address: hasIpv6 ? "::" : "0.0.0.0", port: read.whole("HEDDLE_METRICS_PORT", 15_020, 65_535) },
    drainTimeMs: read.duration("HEDDLE_DRAIN_TIME", 5000),
    terminationDrainMs: read.duration("HEDDLE_TERMINATION_DRAIN", 0),
    concurrency: read.whole("HEDDLE_CONCURRENCY", 1, 128),
  };
  if (problems.length > 0) throw new PodEnvironmentError(problems);
  return makeSidecarBootstrap(sidecar);
}

/** A variable that is empty counts as absent: that is what an optional field of the downward API becomes. */
class EnvironmentReader {
  readonly #env: PodFacts["env"];
  readonly #problems: string[];

  constructor(env: PodFacts["env"], problems: string[]) {
    this.#env = env;
    this.#problems = problems;
  }

  text(name: string, fallback: string): string {
    const value = this.#env[name] ?? "";
    return value === "" ? fallback : value;
  }

  required(name: string): string {
    const value = this.text(name, "");
    if (value === "") this.#problems.push(`${name} must be set`);
    return value;
  }

  whole(name: string, fallback: number, most: number): number {
    const text = this.text(name, String(fallback));
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
    this.#problems.push(`${name} must be a whole number from 1 to ${most}: got "${text}"`);
    return fallback;
  }

  duration(name: string, fallbackMs: number): number {
    const text = this.text(name, `${fallbackMs}ms`);
    const ms = tryDurationMs(text);
    if (ms === undefined) this.#problems.push(`${name} must be a duration, as 5s or 1m30s: got "${text}"`);
    return ms ?? fallbackMs;
  }

  hostAndPort(name: string): SocketAddress {
    const text = this.required(name);
    const [, bracketed, plain, digits = ""] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+)):(\d{1,5})$/i.exec(text) ?? [];
    const address = bracketed ?? plain ?? "";
    const port = Number(digits);
    if (text !== "" && (address === "" || port < 1 || port > 65_535)) {
      this.#problems.push(`${name} must be host:port, as heddle-control-plane.heddle-system.svc:15012: got "${text}"`);
    }
    return { address, port };
  }
}
