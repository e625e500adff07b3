// Finds the pods and pod templates in objects of Kubernetes, and puts the proxy into them, or takes it out.
import { isObject } from "#config/load/values.ts";
import { SIDECAR_ANNOTATION } from "#config/kubernetes/names.ts";
import { injectionOf, injectPod, type InjectionContext } from "./inject.ts";
import { InjectionError } from "./injection-error.ts";
import { parsePod } from "./pod.ts";
import { removeInjection } from "./undo.ts";

/** Where the pod's template lies, by API group and kind. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  "/Pod": [],
  "/ReplicationController": ["spec", "template"],
  "apps/Deployment": ["spec", "template"],
  "apps/StatefulSet": ["spec", "template"],
  "apps/DaemonSet": ["spec", "template"],
  "apps/ReplicaSet": ["spec", "template"],
  "batch/Job": ["spec", "template"],
  "batch/CronJob": ["spec", "jobTemplate", "spec", "template"],
};

export interface WorkloadChange {
  readonly value: unknown;
  /** What was skipped and why, and warnings; each begins with the object. */
  readonly notes: readonly string[];
}

type Change = (pod: unknown, namespace: string) => { readonly pod: unknown; readonly notes: readonly string[] };

interface FileContext extends Omit<InjectionContext, "namespace" | "asked"> {
  /** Of objects that name none. */
  readonly namespace: string;
}

/** Whoever asks for it by file has asked: only the pods' own choice counts. @throws {InjectionError} naming object and field. */
export function injectObject(value: unknown, context: FileContext): WorkloadChange {
  return changeObject(value, context.namespace, (found, namespace) => {
    const result = injectPod(parsePod(found), { ...context, namespace, asked: "enabled" });
    if (result.kind === "skipped") return { pod: found, notes: [`skipped: ${result.reason}`] };
    return { pod: result.pod, notes: result.warnings };
  });
}

/** Takes the proxy out again. */
export function removeFromObject(value: unknown): WorkloadChange {
  return changeObject(value, "", (found) => {
    const pod = parsePod(found);
    const done = injectionOf(pod);
    if (done !== undefined) return { pod: removeInjection(pod, done), notes: [] };
    const isBroken = pod.metadata?.annotations?.[SIDECAR_ANNOTATION] !== undefined;
    return {
      pod: found,
      notes: [isBroken ? `skipped: ${SIDECAR_ANNOTATION} is not what the injector wrote` : "it has no proxy"],
    };
  });
}

function changeObject(value: unknown, namespace: string, change: Change): WorkloadChange {
  if (!isObject(value)) return { value, notes: [] };
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== "string" || typeof kind !== "string") return { value, notes: [] };
  if (kind.endsWith("List") && Array.isArray(value["items"]))
    return changeList(value, value["items"], namespace, change);
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const key = `${group}/${kind}`;
  const path = Object.hasOwn(TEMPLATES, key) ? TEMPLATES[key] : undefined;
  if (path === undefined) return { value, notes: [] };
  const metadata = isObject(value["metadata"]) ? value["metadata"] : {};
  const own = typeof metadata["namespace"] === "string" ? metadata["namespace"] : namespace;
  const name = [own, metadata["name"] ?? metadata["generateName"]].filter((part) => part !== "").join("/");
  const title = `${kind} ${name}`;
  try {
    const { pod, notes } = change(getIn(value, path), own);
    return { value: setIn(value, path, pod), notes: notes.map((note) => `${title}: ${note}`) };
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    throw error.within(title, path);
  }
}

function changeList(
  list: Readonly<Record<string, unknown>>,
  items: readonly unknown[],
  namespace: string,
  change: Change,
): WorkloadChange {
  const changed = items.map((item) => changeObject(item, namespace, change));
  return {
    value: { ...list, items: changed.map(({ value }) => value) },
    notes: changed.flatMap(({ notes }) => notes),
  };
}

function getIn(value: unknown, path: readonly string[]): unknown {
  return path.reduce((found: unknown, step) => (isObject(found) ? found[step] : undefined), value);
}

function setIn(value: unknown, [step, ...rest]: readonly string[], wanted: unknown): unknown {
  if (step === undefined) return wanted;
  if (!isObject(value)) return value;
  return { ...value, [step]: setIn(value[step], rest, wanted) };
}
