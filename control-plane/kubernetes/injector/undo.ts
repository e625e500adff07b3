// Takes out of a pod what the injector put into it, by what the injector wrote down.
import { SIDECAR_ANNOTATION } from "#config/kubernetes/names.ts";
import type { SidecarAnnotation } from "#config/kubernetes/sidecar-annotation.ts";
import type { Container, Named, Pod, Texts } from "./pod.ts";
import { restoreProbes } from "./probes.ts";
import { removeRemovalWait } from "./removal-wait.ts";

/** The pod as it was; what others changed since then stays. */
export function removeInjection(pod: Pod, done: SidecarAnnotation): Pod {
  const { metadata = {}, spec } = pod;
  const isMade = (path: string): boolean => done.made.includes(path);
  const restore = (container: Container): Container =>
    restoreProbes(removeRemovalWait(container, done.probes[`${container.name}/preStop`]), done.probes);
  const annotations = restoreTexts(metadata.annotations ?? {}, { ...done.annotations, [SIDECAR_ANNOTATION]: null });
  const labels = restoreTexts(metadata.labels ?? {}, done.labels);
  const added = new Set(done.imagePullSecrets);
  const secrets = spec.imagePullSecrets?.filter(({ name }) => name === undefined || !added.has(name));
  const result: Pod = {
    ...pod,
    metadata: {
      ...metadata,
      ...(isEmpty(annotations) && isMade("metadata.annotations") ? { annotations: undefined } : { annotations }),
      ...(isEmpty(labels) && isMade("metadata.labels") ? { labels: undefined } : { labels }),
    },
    spec: {
      ...spec,
      containers: drop(spec.containers, done.containers).map(restore),
      ...listField(
        "initContainers",
        spec.initContainers && drop(spec.initContainers, done.initContainers).map(restore),
        isMade("spec.initContainers"),
      ),
      ...listField("volumes", spec.volumes && drop(spec.volumes, done.volumes), isMade("spec.volumes")),
      ...listField("imagePullSecrets", secrets, isMade("spec.imagePullSecrets")),
    },
  } as Pod; // as: undefined fields go below
  return prune(result, isMade("metadata"));
}

function listField(name: string, list: readonly unknown[] | undefined, isMade: boolean): object {
  return { [name]: list === undefined || (list.length === 0 && isMade) ? undefined : list };
}

function drop<T extends Named>(list: readonly T[], names: readonly string[]): readonly T[] {
  const dropped = new Set(names);
  return list.filter(({ name }) => !dropped.has(name));
}

function restoreTexts(texts: Texts, before: Readonly<Record<string, string | null>>): Texts {
  const result = new Map(Object.entries(texts));
  for (const [name, text] of Object.entries(before))
    if (text === null) result.delete(name);
    else result.set(name, text);
  return Object.fromEntries(result);
}

/** Without the fields that are undefined, and without metadata that was not there and is empty. */
function prune(pod: Pod, isMetadataMade: boolean): Pod {
  const defined = <T extends object>(value: T): T =>
    Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T; // as: only undefined goes
  const { metadata, ...rest } = { ...pod, metadata: defined(pod.metadata ?? {}), spec: defined(pod.spec) };
  return isEmpty(metadata) && isMetadataMade ? rest : { ...rest, metadata };
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}
