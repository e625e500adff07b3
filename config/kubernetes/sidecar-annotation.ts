// The annotation `heddle.dev/sidecar`: what the injector did to a pod, so that the registry knows the proxy's ports, and so that
// everything can be taken back.
import { isObject } from "../load/values.ts";

export type Interception = "iptables" | "cni" | "none";

/** A localhost port of the proxy that leads to one port of one service. */
export interface LocalUpstream {
  /** `name` (of the pod's namespace) or `namespace/name`. */
  readonly service: string;
  readonly port: number;
  readonly listen: number;
}

export interface SidecarAnnotation {
  readonly version: string;
  /** Hash of the settings of the injector. */
  readonly revision: string;
  readonly interception: Interception;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly upstreams: readonly LocalUpstream[];
  /** The original handlers of rewritten probes, by `<container>/<kind>`. */
  readonly probes: Readonly<Record<string, unknown>>;
  /** In the paths of hooks; absent: none was rewritten. */
  readonly hookKey?: string;
  /** Names of what was added. */
  readonly containers: readonly string[];
  readonly initContainers: readonly string[];
  readonly volumes: readonly string[];
  readonly imagePullSecrets: readonly string[];
  /** Values of annotations and labels that were replaced; null: there was none. */
  readonly annotations: Readonly<Record<string, string | null>>;
  readonly labels: Readonly<Record<string, string | null>>;
  /** Fields of the pod that did not exist before: `metadata`, `metadata.labels`, `spec.volumes` ... */
  readonly made: readonly string[];
}

/** Undefined where the text is not what an injector writes: the pod then counts as one without a proxy. */
export function tryParseSidecarAnnotation(text: string): SidecarAnnotation | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { version, revision, interception, inboundPort, outboundPort, upstreams = [], probes = {} } = value;
  if (typeof version !== "string" || typeof revision !== "string" || !isInterception(interception)) return undefined;
  if (!isPort(inboundPort) || !isPort(outboundPort) || !isObject(probes)) return undefined;
  if (!Array.isArray(upstreams) || !upstreams.every(isUpstream)) return undefined;
  return {
    version,
    revision,
    interception,
    inboundPort,
    outboundPort,
    upstreams,
    probes,
    ...(typeof value["hookKey"] === "string" ? { hookKey: value["hookKey"] } : {}),
    containers: textsOf(value["containers"]),
    initContainers: textsOf(value["initContainers"]),
    volumes: textsOf(value["volumes"]),
    imagePullSecrets: textsOf(value["imagePullSecrets"]),
    annotations: replacedOf(value["annotations"]),
    labels: replacedOf(value["labels"]),
    made: textsOf(value["made"]),
  };
}

function isInterception(value: unknown): value is Interception {
  return value === "iptables" || value === "cni" || value === "none";
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function isUpstream(value: unknown): value is LocalUpstream {
  return isObject(value) && typeof value["service"] === "string" && isPort(value["port"]) && isPort(value["listen"]);
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function replacedOf(value: unknown): Readonly<Record<string, string | null>> {
  if (!isObject(value)) return {};
  const texts = Object.entries(value).filter(([, text]) => typeof text === "string" || text === null);
  return Object.fromEntries(texts) as Record<string, string | null>; // filtered
}
