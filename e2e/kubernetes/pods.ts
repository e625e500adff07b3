// Everyday work with pods: make a namespace, wait for what is being deployed, run a command in a container.
import type { Cluster } from "./cluster/cluster.ts";

/** Makes the namespace if it is not there; labels say, for example, that its pods get sidecars. */
export async function makeNamespace(
  cluster: Cluster,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await cluster.apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }]);
  await cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s");
}

export async function deleteNamespace(cluster: Cluster, name: string): Promise<void> {
  await cluster.exec(["kubectl", "delete", "namespace", name, "--ignore-not-found"], { timeoutMs: 120_000 });
}

/** Waits for a pod, whatever its age; gives its (IPv4) address. @throws {Error} with what the pod's events say, after two minutes. */
export async function untilPodIsReady(cluster: Cluster, namespace: string, name: string): Promise<string> {
  try {
    await cluster.exec(["kubectl", "-n", namespace, "wait", "--for=condition=Ready", `pod/${name}`, "--timeout=120s"], {
      timeoutMs: 130_000,
    });
  } catch (cause) {
    throw new Error(`Pod ${namespace}/${name} is not ready:\n${await explainPods(cluster, namespace, [name])}`, {
      cause,
    });
  }
  return cluster.kubectl("-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.podIP}");
}

/** Waits for Deployments (`deployment/a`), StatefulSets, DaemonSets. @throws {Error} with events and logs of the pods. */
export async function untilRolledOut(cluster: Cluster, namespace: string, ...names: readonly string[]): Promise<void> {
  try {
    for (const name of names)
      await cluster.exec(["kubectl", "-n", namespace, "rollout", "status", name, "--timeout=180s"], {
        timeoutMs: 190_000,
      });
  } catch (cause) {
    throw new Error(`${names.join(", ")} in ${namespace} did not roll out:\n${await explainPods(cluster, namespace)}`, {
      cause,
    });
  }
}

/** What a command in a container prints. @throws {Error} when it fails. */
export function execInPod(
  cluster: Cluster,
  namespace: string,
  pod: string,
  command: readonly string[],
  container?: string,
): Promise<string> {
  const chosen = container === undefined ? [] : ["-c", container];
  return cluster.kubectl("-n", namespace, "exec", pod, ...chosen, "--", ...command);
}

/** For messages of failures: states, events, last lines of all containers. */
export async function explainPods(cluster: Cluster, namespace: string, names?: readonly string[]): Promise<string> {
  const ask = (...args: readonly string[]): Promise<string> =>
    cluster.kubectl("-n", namespace, ...args).catch((error: unknown) => String(error));
  const pods = names ?? (await ask("get", "pods", "-o", "name")).trim().split("\n").filter(Boolean);
  const logs = await Promise.all(
    pods.map((pod) => ask("logs", pod, "--all-containers", "--prefix", "--tail=15", "--ignore-errors")),
  );
  const events = await ask(
    "get",
    "events",
    "--sort-by=.lastTimestamp",
    "-o",
    "custom-columns=:.involvedObject.name,:.message",
  );
  const lastEvents = events.trim().split("\n").slice(-25).join("\n");
  return [await ask("get", "pods", "-o", "wide"), lastEvents, ...logs].join("\n");
}
