// The parts of a pod, or of a workload's pod template, that the injector reads and writes. Whatever else is in them is kept.
import { describeValue, isObject } from "#config/load/values.ts";
import { InjectionError } from "./injection-error.ts";

export interface Pod {
  readonly metadata?: PodMetadata;
  readonly spec: PodSpec;
}

export interface PodMetadata {
  readonly name?: string;
  readonly generateName?: string;
  readonly labels?: Texts;
  readonly annotations?: Texts;
  readonly ownerReferences?: readonly { readonly kind?: unknown }[];
}

export type Texts = Readonly<Record<string, string>>;

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Named[];
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
  readonly hostNetwork?: boolean;
  readonly os?: { readonly name?: unknown };
  readonly nodeSelector?: Readonly<Record<string, unknown>>;
  readonly securityContext?: { readonly runAsUser?: unknown; readonly runAsGroup?: unknown };
  readonly restartPolicy?: unknown;
  readonly terminationGracePeriodSeconds?: unknown;
}

export interface Named {
  readonly name: string;
}

export interface Container extends Named {
  readonly args?: readonly string[];
  readonly env?: readonly EnvironmentVariable[];
  readonly ports?: readonly ContainerPort[];
  readonly restartPolicy?: unknown;
  readonly securityContext?: { readonly runAsUser?: unknown; readonly runAsGroup?: unknown };
  readonly startupProbe?: Handler;
  readonly readinessProbe?: Handler;
  readonly livenessProbe?: Handler;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
}

/** A probe or a lifecycle handler. */
export type Handler = Readonly<Record<string, unknown>>;

export interface EnvironmentVariable extends Named {
  readonly value?: string;
  readonly valueFrom?: object;
}

interface ContainerPort {
  readonly name?: unknown;
  readonly containerPort?: unknown;
}

/**
 * Checks what the types above say. A field that is null, as templates of YAML leave behind, is one that is not there: to Kubernetes
 * too. @throws {InjectionError} naming the field.
 */
export function parsePod(value: unknown): Pod {
  const pod = objectAt(dropNulls(value), "the pod");
  const metadata = pod["metadata"] ?? {};
  textsAt(objectAt(metadata, "metadata")["labels"] ?? {}, "metadata.labels");
  textsAt(objectAt(metadata, "metadata")["annotations"] ?? {}, "metadata.annotations");
  const spec = objectAt(pod["spec"], "spec");
  containersAt(spec["containers"], "spec.containers");
  containersAt(spec["initContainers"] ?? [], "spec.initContainers");
  namedAt(spec["volumes"] ?? [], "spec.volumes");
  listAt(spec["imagePullSecrets"] ?? [], "spec.imagePullSecrets");
  for (const field of ["os", "nodeSelector", "securityContext"]) objectAt(spec[field] ?? {}, `spec.${field}`);
  return pod as unknown as Pod; // as: just checked
}

/** Fields that are read here; others keep their nulls. */
const READ = new Set(
  (
    "metadata labels annotations ownerReferences initContainers volumes imagePullSecrets os nodeSelector securityContext " +
    "env ports startupProbe readinessProbe livenessProbe lifecycle postStart preStop"
  ).split(" "),
);

/** The same value where there are none. */
function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(dropNulls);
    return items.every((item, index) => item === value[index]) ? value : items;
  }
  if (!isObject(value)) return value;
  const fields = Object.entries(value);
  const kept = fields.flatMap(([key, field]) =>
    field === null && READ.has(key) ? [] : [[key, dropNulls(field)] as const],
  );
  const isSame = kept.length === fields.length && kept.every(([key, field]) => field === value[key]);
  return isSame ? value : Object.fromEntries(kept);
}

function containersAt(value: unknown, path: string): void {
  for (const [index, container] of namedAt(value, path).entries()) {
    const at = `${path}[${index}]`;
    for (const [item, port] of listAt(container["ports"] ?? [], `${at}.ports`).entries())
      objectAt(port, `${at}.ports[${item}]`);
    namedAt(container["env"] ?? [], `${at}.env`);
    for (const field of ["startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "securityContext"])
      objectAt(container[field] ?? {}, `${at}.${field}`);
    const hooks = objectAt(container["lifecycle"] ?? {}, `${at}.lifecycle`);
    for (const hook of ["postStart", "preStop"]) objectAt(hooks[hook] ?? {}, `${at}.lifecycle.${hook}`);
  }
}

function namedAt(value: unknown, path: string): readonly Readonly<Record<string, unknown>>[] {
  return listAt(value, path).map((item, index) => {
    const found = objectAt(item, `${path}[${index}]`);
    if (typeof found["name"] !== "string")
      throw new InjectionError(`${path}[${index}].name`, `must be text: got ${describeValue(found["name"])}`);
    return found;
  });
}

function textsAt(value: unknown, path: string): void {
  for (const [key, text] of Object.entries(objectAt(value, path)))
    if (typeof text !== "string")
      throw new InjectionError(`${path}["${key}"]`, `must be text: got ${describeValue(text)}`, "put it into quotes");
}

function listAt(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new InjectionError(path, `must be a list: got ${describeValue(value)}`);
}

function objectAt(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (isObject(value)) return value;
  throw new InjectionError(path, `must be a mapping: got ${describeValue(value)}`);
}
