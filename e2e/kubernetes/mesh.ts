// Heddle in the cluster: its chart, installed once for all tests that share the cluster.
import path from "node:path";

import type { Cluster } from "./cluster/cluster.ts";
import { getGatewayApiFolder } from "./cluster/parts.ts";
import { explainPods, makeNamespace } from "./pods.ts";

const CHART = path.join(import.meta.dirname, "..", "..", "charts", "heddle");
export const SYSTEM_NAMESPACE = "heddle-system";
/** The node is small: what sidecars reserve by default would leave no room for twenty of them on two processors. */
const VALUES = ["proxy.resources.requests.cpu=10m"];
/** A namespace with this label gets sidecars. */
export const INJECT = { "heddle.dev/inject": "enabled" } as const;

/** The Gateway API's definitions (experimental channel). */
export async function installGatewayApi(cluster: Cluster): Promise<void> {
  const folder = await getGatewayApiFolder();
  const command = ["kubectl", "apply", "--server-side", "--force-conflicts", "-k", folder];
  await cluster.exec(command, { timeoutMs: 120_000 });
  await cluster.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io");
}

/**
 * `helm upgrade --install` with these values (`a.b=c`), and the Gateway API; returns when every replica is ready. Called again
 * with the same values it changes nothing, so every test file calls it first.
 */
export async function installMesh(cluster: Cluster, values: readonly string[] = []): Promise<void> {
  await installGatewayApi(cluster);
  const sets = [...VALUES, ...values].flatMap((value) => ["--set", value]);
  const where = ["--namespace", SYSTEM_NAMESPACE, "--create-namespace"];
  try {
    await cluster.helm("upgrade", "--install", "heddle", CHART, ...where, "--wait", "--timeout", "240s", ...sets);
  } catch (cause) {
    throw new Error(`Cannot install the mesh:\n${await explainPods(cluster, SYSTEM_NAMESPACE)}`, { cause });
  }
}

/** A namespace whose pods get sidecars. */
export async function makeMeshNamespace(
  cluster: Cluster,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await makeNamespace(cluster, name, { ...INJECT, ...labels });
}
