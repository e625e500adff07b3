// Applications that have no preStop hook go on serving for a moment when their pod ends, until callers have learned that it is going.
import { podPorts, REMOVAL_WAIT_PATH } from "#config/kubernetes/names.ts";
import { isObject } from "#config/load/values.ts";
import type { Container, PodSpec } from "./pod.ts";

const DEFAULT_GRACE_SECONDS = 30;
/** Of a shorter time to end the wait would be too large a part. */
const LEAST_GRACE_SECONDS = 10;

/** Not those of Jobs, which end by themselves. */
export function waitsForRemoval({ terminationGracePeriodSeconds: grace, restartPolicy = "Always" }: PodSpec): boolean {
  return restartPolicy === "Always" && Number(grace ?? DEFAULT_GRACE_SECONDS) >= LEAST_GRACE_SECONDS;
}

/** The kubelet asks the proxy, which answers after a while; then the application is told to end. undefined: it has a hook of its own. */
export function addRemovalWait(
  container: Container,
): { readonly container: Container; readonly original: object } | undefined {
  const { lifecycle } = container;
  if (lifecycle?.preStop !== undefined) return undefined;
  const preStop = { httpGet: { path: REMOVAL_WAIT_PATH, port: podPorts.metrics } };
  return {
    container: { ...container, lifecycle: { ...lifecycle, preStop } },
    original: { added: lifecycle === undefined ? "lifecycle" : "preStop" },
  };
}

/** Takes our hook out again where it still stands; `original` is what `addRemovalWait` gave. */
export function removeRemovalWait(container: Container, original: unknown): Container {
  const { lifecycle, ...rest } = container;
  const added = isObject(original) ? original["added"] : undefined;
  const get = lifecycle?.preStop?.["httpGet"];
  if (added === undefined || !isObject(get) || get["path"] !== REMOVAL_WAIT_PATH || get["port"] !== podPorts.metrics)
    return container;
  const { preStop: _, ...hooks } = lifecycle ?? {};
  return added === "lifecycle" && Object.keys(hooks).length === 0 ? rest : { ...container, lifecycle: hooks };
}
