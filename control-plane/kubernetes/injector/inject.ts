// Puts the proxy into a pod and takes it out again. Pure: the webhook and `heddle inject` both come here, and give the same result.
import type { ApplicationProbe } from "#config/kubernetes/application.ts";
import { INIT_CONTAINER, MESH_LABEL, podPorts, PROXY_CONTAINER, SIDECAR_ANNOTATION } from "#config/kubernetes/names.ts";
import { tryParseSidecarAnnotation, type SidecarAnnotation } from "#config/kubernetes/sidecar-annotation.ts";
import { refuseConflicts, whyNotInjected, type NamespaceChoice } from "./choice.ts";
import { digestHookKey, isHookKey } from "./hook-key.ts";
import { makeInitContainer, makeProxyContainer, makeVolumes, METRICS_VARIABLE, PROBES_VARIABLE } from "./containers.ts";
import { misspeltAnnotations, readOptions, type PodOptions } from "./options.ts";
import type { Container, Pod, PodSpec, Texts } from "./pod.ts";
import { rewriteProbes } from "./probes.ts";
import { addRemovalWait, waitsForRemoval } from "./removal-wait.ts";
import { rewriteScraping } from "./scraping.ts";
import { revisionOf, type InjectionSettings } from "./settings.ts";
import { removeInjection } from "./undo.ts";

export interface InjectionContext {
  readonly namespace: string;
  readonly asked: NamespaceChoice;
  readonly settings: InjectionSettings;
  /** Of the package. */
  readonly version: string;
  /** Leads to the pod's hooks (hook-key.ts), where it has none yet; default: of what the pod is. */
  readonly hookKey?: string;
}

export type Injection =
  | { readonly kind: "injected"; readonly pod: Pod; readonly warnings: readonly string[] }
  | { readonly kind: "skipped"; readonly reason: string };

/**
 * A pod that has a proxy already gets it anew, from what the pod was without it; what others changed in our containers since then
 * stays when the settings are the same. @throws {InjectionError} naming the field that is wrong.
 */
export function injectPod(pod: Pod, context: InjectionContext): Injection {
  const reason = whyNotInjected(pod, context.namespace, context.asked);
  if (reason !== undefined) return { kind: "skipped", reason };
  const before = injectionOf(pod);
  const base = before === undefined ? pod : removeInjection(pod, before);
  const revision = revisionOf(context.settings, context.version);
  const kept = before?.revision === revision ? ourContainers(pod) : new Map<string, Container>();
  const options = readOptions(base.metadata?.annotations ?? {}, context.settings);
  const volumes = makeVolumes();
  const hookKey = isHookKey(before?.hookKey) ? before.hookKey : (context.hookKey ?? digestHookKey(base));
  refuseConflicts(base, { volumes, isIntercepted: options.interception !== "none" });
  return {
    kind: "injected",
    pod: build(base, { ...context, options, volumes, revision, kept, hookKey }),
    warnings: warningsOf(base, options),
  };
}

/** What an earlier injection left in the pod; undefined where there was none. */
export function injectionOf(pod: Pod): SidecarAnnotation | undefined {
  const text = pod.metadata?.annotations?.[SIDECAR_ANNOTATION];
  const found = text === undefined ? undefined : tryParseSidecarAnnotation(text);
  return found !== undefined && ourContainers(pod).has(PROXY_CONTAINER) ? found : undefined;
}

interface Plan extends InjectionContext {
  readonly options: PodOptions;
  readonly volumes: ReturnType<typeof makeVolumes>;
  readonly revision: string;
  readonly hookKey: string;
  /** Our containers as they are in the pod. */
  readonly kept: ReadonlyMap<string, Container>;
}

function build(base: Pod, plan: Plan): Pod {
  const { options, settings, volumes } = plan;
  const { metadata = {}, spec } = base;
  const application = rewriteAll(spec, options, plan.hookKey);
  const scraping = rewriteScraping(metadata.annotations ?? {}, spec);
  const side = { probes: application.probes, metrics: scraping.metrics };
  const proxy = keep(makeProxyContainer(options, settings, side), plan.kept);
  const made = makeInitContainer(options, settings);
  const init = made === undefined ? [] : [keep(made, plan.kept)];
  const theirs = application.initContainers;
  // Behind a native proxy everything has the mesh. A plain one starts only after all init containers: theirs must come before
  // the packet filter's rules, which lead to nobody until then.
  const initContainers = options.isNative ? [...init, proxy, ...theirs] : [...theirs, ...init];
  const containers = options.isNative ? application.containers : [proxy, ...application.containers];
  const known = new Set((spec.imagePullSecrets ?? []).map(({ name }) => name));
  const secrets = options.imagePullSecrets.filter((name) => !known.has(name));
  const annotations = { ...scraping.annotations, ...defaultContainer(metadata.annotations, spec, options) };
  const labels = { [MESH_LABEL]: "enabled" };
  const record: SidecarAnnotation = {
    version: plan.version,
    revision: plan.revision,
    interception: options.interception,
    inboundPort: podPorts.inbound,
    outboundPort: podPorts.outbound,
    upstreams: options.upstreams,
    probes: application.originals,
    ...(application.hasHooks ? { hookKey: plan.hookKey } : {}),
    containers: options.isNative ? [] : [PROXY_CONTAINER],
    initContainers: [...init, ...(options.isNative ? [proxy] : [])].map(({ name }) => name),
    volumes: volumes.map(({ name }) => name),
    imagePullSecrets: secrets,
    annotations: replaced(metadata.annotations, annotations),
    labels: replaced(metadata.labels, labels),
    made: [
      ...(base.metadata === undefined ? ["metadata"] : []),
      ...(metadata.annotations === undefined ? ["metadata.annotations"] : []),
      ...(metadata.labels === undefined ? ["metadata.labels"] : []),
      ...(spec.initContainers === undefined ? ["spec.initContainers"] : []),
      ...(spec.volumes === undefined ? ["spec.volumes"] : []),
      ...(spec.imagePullSecrets === undefined ? ["spec.imagePullSecrets"] : []),
    ],
  };
  return {
    ...base,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...labels },
      annotations: { ...metadata.annotations, ...annotations, [SIDECAR_ANNOTATION]: JSON.stringify(record) },
    },
    spec: {
      ...spec,
      ...(initContainers.length === 0 && spec.initContainers === undefined ? {} : { initContainers }),
      containers,
      volumes: [...(spec.volumes ?? []), ...volumes],
      ...(secrets.length === 0
        ? {}
        : { imagePullSecrets: [...(spec.imagePullSecrets ?? []), ...secrets.map((name) => ({ name }))] }),
    },
  };
}

function rewriteAll(spec: PodSpec, { rewritesProbes, isNative }: PodOptions, hookKey: string) {
  const probes: Record<string, ApplicationProbe> = {};
  const originals = {};
  const waits = waitsForRemoval(spec);
  const rewrite = (container: Container, isBeforeProxy: boolean): Container => {
    if (!rewritesProbes) return container;
    const result = rewriteProbes(container, hookKey, isBeforeProxy);
    Object.assign(probes, result.probes);
    Object.assign(originals, result.originals);
    return result.container;
  };
  const initContainers = (spec.initContainers ?? []).map((one) => rewrite(one, !isNative));
  const containers = spec.containers.map((container) => {
    const rewritten = rewrite(container, false);
    const waiting = rewritesProbes && waits ? addRemovalWait(rewritten) : undefined;
    if (waiting !== undefined) Object.assign(originals, { [`${container.name}/preStop`]: waiting.original });
    return waiting?.container ?? rewritten;
  });
  const hasHooks = Object.values(probes).some((probe) => probe.kind === "httpGet" && probe.hookKey !== undefined);
  return { containers, initContainers, probes, originals, hasHooks };
}

/** A container of ours that is in the pod already keeps what others did to it; what depends on the pod is brought up to date. */
function keep(container: Container, kept: ReadonlyMap<string, Container>): Container {
  const before = kept.get(container.name);
  // Between a native sidecar and a plain one nothing can be kept.
  if (before === undefined || before.restartPolicy !== container.restartPolicy) return container;
  const { env, args } = container;
  const ours = new Map((env ?? []).map((variable) => [variable.name, variable]));
  const stays = (before.env ?? []).filter(({ name }) => name !== PROBES_VARIABLE && name !== METRICS_VARIABLE);
  const merged = [
    ...stays.map((variable) => ours.get(variable.name) ?? variable),
    ...(env ?? []).filter(({ name }) => !stays.some((variable) => variable.name === name)),
  ];
  return { ...before, ...(args === undefined ? {} : { args }), ...(merged.length === 0 ? {} : { env: merged }) };
}

function ourContainers(pod: Pod): Map<string, Container> {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return new Map(
    all.filter(({ name }) => name === PROXY_CONTAINER || name === INIT_CONTAINER).map((one) => [one.name, one]),
  );
}

const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

/** With a plain proxy in front `kubectl logs` and `exec` would mean the proxy. */
function defaultContainer(annotations: Texts | undefined, spec: PodSpec, { isNative }: PodOptions): Texts {
  const [first] = spec.containers;
  return isNative || first === undefined || annotations?.[DEFAULT_CONTAINER] !== undefined
    ? {}
    : { [DEFAULT_CONTAINER]: first.name };
}

function replaced(before: Texts | undefined, set: Texts): Record<string, string | null> {
  return Object.fromEntries(Object.keys(set).map((name) => [name, before?.[name] ?? null]));
}

function warningsOf(pod: Pod, { isNative, interception }: PodOptions): readonly string[] {
  const { metadata, spec } = pod;
  const isJob =
    spec.restartPolicy === "Never" ||
    spec.restartPolicy === "OnFailure" ||
    metadata?.ownerReferences?.some(({ kind }) => kind === "Job") === true;
  return [
    ...misspeltAnnotations(metadata?.annotations ?? {}),
    ...(isJob && !isNative
      ? ["the proxy runs as a plain container, which does not end with the application: the Job will not complete"]
      : []),
    ...(interception === "cni" && !isNative && (spec.initContainers?.length ?? 0) > 0
      ? ["init containers have no network before a plain proxy container runs"]
      : []),
  ];
}
