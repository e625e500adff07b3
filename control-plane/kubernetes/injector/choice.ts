// Whether a pod gets a proxy: what its namespace asked for, what it says itself, and what cannot be.
import { names, podPorts, PROXY_UID, PROXY_CONTAINER, INIT_CONTAINER } from "#config/kubernetes/names.ts";
import { checkChoice } from "./fields.ts";
import { annotationPath, InjectionError } from "./injection-error.ts";
import type { Container, Named, Pod } from "./pod.ts";

/** The namespace's label `heddle.dev/inject`; undefined: it has none. */
export type NamespaceChoice = "enabled" | "disabled" | undefined;

const SYSTEM_NAMESPACES: readonly string[] = ["kube-system", "kube-public", "kube-node-lease", "heddle-system"];

/** Undefined where the pod gets a proxy. @throws {InjectionError} for a choice that cannot be understood. */
export function whyNotInjected(pod: Pod, namespace: string, asked: NamespaceChoice): string | undefined {
  const { metadata = {}, spec } = pod;
  const annotation = choiceOf(metadata.annotations?.[names.inject], annotationPath(names.inject));
  const label = choiceOf(metadata.labels?.[names.inject], `metadata.labels["${names.inject}"]`);
  // The API server asks nobody about a pod whose label says no, so an annotation cannot overrule that.
  if (label === "disabled" || annotation === "disabled") return `the pod has ${names.inject}: disabled`;
  if (SYSTEM_NAMESPACES.includes(namespace)) return `${namespace} is a namespace of the system`;
  if ((annotation ?? label ?? asked) !== "enabled")
    return `neither the pod nor its namespace has ${names.inject}: enabled`;
  if (spec.hostNetwork === true) return "the pod uses the node's network (hostNetwork), which must not be intercepted";
  if (spec.os?.name === "windows" || spec.nodeSelector?.["kubernetes.io/os"] === "windows")
    return "the proxy does not run on Windows";
  return undefined;
}

function choiceOf(text: string | undefined, path: string): "enabled" | "disabled" | undefined {
  if (text === undefined) return undefined;
  const choice = checkChoice(text, path, ["enabled", "disabled", "true", "false"]);
  return choice === "true" ? "enabled" : choice === "false" ? "disabled" : choice;
}

/** What would not work beside the proxy. @throws {InjectionError} naming the field. */
export function refuseConflicts(
  pod: Pod,
  ours: { readonly volumes: readonly Named[]; readonly isIntercepted: boolean },
) {
  const { spec } = pod;
  const groups = [
    ["spec.initContainers", spec.initContainers ?? []],
    ["spec.containers", spec.containers],
  ] as const;
  for (const [path, containers] of groups)
    for (const [index, container] of containers.entries()) {
      refuseName(container.name, [PROXY_CONTAINER, INIT_CONTAINER], `${path}[${index}].name`);
      refusePorts(container, `${path}[${index}]`);
      if (ours.isIntercepted) refuseIds(container.securityContext, `${path}[${index}].securityContext`);
    }
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const inherited = Object.fromEntries(
    ids
      .filter((name) => all.some(({ securityContext }) => securityContext?.[name] === undefined))
      .map((name) => [name, spec.securityContext?.[name]]),
  );
  if (ours.isIntercepted) refuseIds(inherited, "spec.securityContext");
  for (const [index, { name }] of (spec.volumes ?? []).entries())
    refuseName(
      name,
      ours.volumes.map((volume) => volume.name),
      `spec.volumes[${index}].name`,
    );
}

function refuseName(name: string, taken: readonly string[], path: string): void {
  if (taken.includes(name))
    throw new InjectionError(
      path,
      `must not be "${name}", which the injector adds itself`,
      `rename it, or set ${names.inject}: disabled`,
    );
}

const ids = ["runAsUser", "runAsGroup"] as const;

/** The packet filter knows the proxy by its user and by its group, which have one number. */
function refuseIds(context: Container["securityContext"], path: string): void {
  for (const name of ids) {
    if (context?.[name] !== PROXY_UID) continue;
    const what = name === "runAsUser" ? "user" : "group";
    throw new InjectionError(
      `${path}.${name}`,
      `must not be ${PROXY_UID}: connections of the proxy's ${what} are not intercepted, so the application would pass the mesh by`,
      `choose another ${what}`,
    );
  }
}

/** The proxy's admin port on loopback, and those of the pod's address. */
const TAKEN_PORTS: readonly unknown[] = [15_000, ...Object.values(podPorts)];

function refusePorts({ ports = [] }: Container, path: string): void {
  for (const [index, { containerPort }] of ports.entries())
    if (TAKEN_PORTS.includes(containerPort))
      throw new InjectionError(
        `${path}.ports[${index}].containerPort`,
        `must not be ${String(containerPort)}: the proxy listens there`,
        "the proxy takes 15000, 15001, 15006 and 15020",
      );
}
