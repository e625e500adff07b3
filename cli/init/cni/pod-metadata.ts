// Asks the API server for a pod's annotations, in one small request: the plugin runs while a pod waits.
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { isFields, type PodRef } from "./protocol.ts";

/** What of a kubeconfig is needed, as the installer writes it. */
export interface ApiAccess {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
}

export type Annotations = Readonly<Record<string, string>>;

/** Without the pod's spec and status. */
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

const TIMEOUT_MS = 2000;

/** Undefined: there is no such pod (any more), or it is another one of this name. Rejects when the API server does not say. */
export async function getAnnotations(access: ApiAccess, pod: PodRef): Promise<Annotations | undefined> {
  const path = `/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/pods/${encodeURIComponent(pod.name)}`;
  const { status, text } = await get(access, path);
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`the API server answered ${status}: ${text.slice(0, 200)}`);
  const value = JSON.parse(text) as unknown;
  const metadata = isFields(value) && isFields(value["metadata"]) ? value["metadata"] : {};
  if (pod.uid !== undefined && metadata["uid"] !== pod.uid) return undefined;
  const annotations = isFields(metadata["annotations"]) ? metadata["annotations"] : {};
  return Object.fromEntries(Object.entries(annotations).map(([name, text_]) => [name, String(text_)]));
}

/** One request of the API server. */
export function get(
  { server, ca, token }: ApiAccess,
  path: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      new URL(path, server),
      {
        ca,
        agent: false,
        headers: { authorization: `Bearer ${token}`, accept: METADATA_ONLY },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (bytes: Buffer) => parts.push(bytes));
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text: String(Buffer.concat(parts)) }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}

/** @throws {Error} when the file is not there, or is no kubeconfig of the installer. */
export function readKubeconfig(file: string): ApiAccess {
  const value = JSON.parse(readFileSync(file, "utf8")) as {
    readonly clusters: readonly [{ readonly cluster: { server: string; "certificate-authority-data": string } }];
    readonly users: readonly [{ readonly user: { token: string } }];
  }; // as: formatKubeconfig wrote it
  const { cluster } = value.clusters[0];
  return {
    server: cluster.server,
    ca: Buffer.from(cluster["certificate-authority-data"], "base64").toString(),
    token: value.users[0].user.token,
  };
}

/** JSON is YAML, so that kubectl reads it too. */
export function formatKubeconfig({ server, ca, token }: ApiAccess): string {
  const name = "heddle-cni";
  const value = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server, "certificate-authority-data": Buffer.from(ca).toString("base64") } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}
