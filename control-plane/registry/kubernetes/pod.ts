// A Pod as the registry remembers it: who it is, where it is, and whether a proxy of ours is in it.
import { isObject } from "#config/load/values.ts";
import type { Labels } from "#config/model/route.ts";
import { otherPorts, parsePorts, type PortRange } from "../../mesh/ports.ts";
import { fieldsOf, objectsOf, textOf, type KubernetesObject } from "../../kubernetes/objects.ts";
import type { RegistryWorkload, Sidecar } from "../registry.ts";

/** Written by the injector. */
const SIDECAR_ANNOTATION = "heddle.dev/sidecar";
const WEIGHT_ANNOTATION = "heddle.dev/weight";
const PROXY_CONTAINER = "heddle-proxy";
const INIT_CONTAINER = "heddle-init";
const ADMIN_PORT = 15000;
const METRICS_PORT = 15020;

export interface PodRecord {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly serviceAccount: string;
  readonly node: string;
  /** The primary one first; none before its sandbox is there. */
  readonly addresses: readonly string[];
  readonly weight: number;
  readonly isTerminating: boolean;
  /** All its containers have ended for good: its addresses may belong to others already. */
  readonly isOver: boolean;
  readonly sidecar: Sidecar | undefined;
}

/** A few hundred bytes of the ten thousand that a Pod has. */
export function parsePod({ metadata, spec, status }: KubernetesObject): PodRecord {
  const { name, namespace, uid, labels, annotations, deletionTimestamp } = metadata;
  const wanted = fieldsOf(spec);
  const actual = fieldsOf(status);
  const phase = textOf(actual["phase"]);
  const listed = objectsOf(actual["podIPs"]).map(({ ip }) => textOf(ip));
  const addresses = [...new Set([textOf(actual["podIP"]), ...listed])].filter((address) => address !== "");
  const weight = Number(annotations[WEIGHT_ANNOTATION] ?? 1);
  return {
    namespace,
    name,
    uid,
    labels,
    serviceAccount: textOf(wanted["serviceAccountName"]) || "default",
    node: textOf(wanted["nodeName"]),
    addresses,
    weight: Number.isInteger(weight) && weight >= 1 && weight <= 1_000_000 ? weight : 1,
    isTerminating: deletionTimestamp !== undefined,
    isOver: phase === "Succeeded" || phase === "Failed",
    sidecar: hasProxy(wanted) ? trySidecar(annotations[SIDECAR_ANNOTATION], passedPorts(wanted)) : undefined,
  };
}

/** Its proxy needs a configuration to become ready, so it is told of before a service leads to it, and while it ends. */
export function workloadOf(pod: PodRecord, locality: Labels): RegistryWorkload | undefined {
  const { namespace, name, addresses, serviceAccount, sidecar } = pod;
  if (sidecar === undefined || addresses.length === 0 || pod.isOver) return undefined;
  return { namespace, name, addresses, labels: labelsOf(pod, locality), serviceAccount, sidecar };
}

/**
 * The pod's own labels. `version` is what canaries and subsets choose by, and stands in for the label that Kubernetes recommends;
 * a region or zone that somebody wrote as a label is not believed over the node's.
 */
export function labelsOf({ labels }: PodRecord, locality: Labels): Labels {
  const recommended = labels["app.kubernetes.io/version"];
  return { ...(recommended === undefined ? {} : { version: recommended }), ...labels, ...locality };
}

/** An annotation alone is not believed: a template may have been copied from a running pod. */
function hasProxy(spec: Readonly<Record<string, unknown>>): boolean {
  return [...objectsOf(spec["containers"]), ...objectsOf(spec["initContainers"])].some(
    ({ name }) => name === PROXY_CONTAINER,
  );
}

/** What `heddle-init` was told (cli/init): it writes the packet filter's rules, or checks that they are there. */
function passedPorts(spec: Readonly<Record<string, unknown>>): readonly PortRange[] {
  const init = objectsOf(spec["initContainers"]).find(({ name }) => name === INIT_CONTAINER);
  const args = Array.isArray(init?.["args"]) ? init["args"].filter((arg) => typeof arg === "string") : [];
  const valueOf = (flag: string): string | undefined => {
    const index = args.indexOf(flag);
    return index < 0 ? args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1) : args[index + 1];
  };
  const included = valueOf("--include-inbound-ports") ?? "*";
  const excluded = parsePorts(valueOf("--exclude-inbound-ports") ?? "");
  return included === "*" ? excluded : [...excluded, ...otherPorts(parsePorts(included))];
}

function trySidecar(annotation: string | undefined, passed: readonly PortRange[]): Sidecar | undefined {
  if (annotation === undefined) return undefined;
  const value = tryJson(annotation);
  if (!isObject(value)) return undefined;
  const { interception, inboundPort, outboundPort } = value;
  const isCaptured =
    (interception === "iptables" || interception === "cni") && isPort(inboundPort) && isPort(outboundPort);
  return {
    inbound: portsOf(value["inbound"]),
    outbound: objectsOf(value["upstreams"]).flatMap(({ service, port, listen }) =>
      typeof service === "string" && (typeof port === "string" || isPort(port)) && isPort(listen)
        ? [{ service, port, listen }]
        : [],
    ),
    capture: isCaptured
      ? { inboundPort, outboundPort, ...(passed.length === 0 ? {} : { passedPorts: passed }) }
      : undefined,
    httpProxyPort: undefined,
    adminPort: ADMIN_PORT,
    metricsPort: METRICS_PORT,
  };
}

/** Port name of a service to the mesh listener's port: of pods without interception. */
function portsOf(value: unknown): Readonly<Record<string, number>> {
  const ports: Record<string, number> = {};
  for (const [name, port] of Object.entries(fieldsOf(value))) if (isPort(port)) ports[name] = port;
  return ports;
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
