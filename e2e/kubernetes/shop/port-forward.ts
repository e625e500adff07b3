// Ways past the sidecars: `kubectl port-forward` reaches a pod's loopback, which is never intercepted.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import type { Cluster } from "../cluster/cluster.ts";

export interface PortForward {
  /** Port on this machine's 127.0.0.1 by the pod's port. */
  readonly ports: ReadonlyMap<number, number>;
  close(): Promise<void>;
}

/** @throws {Error} with what kubectl said, when it ends before the ports are open. */
export async function forwardPorts(
  cluster: Cluster,
  namespace: string,
  pod: string,
  wanted: readonly number[],
): Promise<PortForward> {
  const args = ["-n", namespace, "port-forward", `pod/${pod}`, ...wanted.map((port) => `:${port}`)];
  const child = startKubectl(cluster, args);
  const ports = new Map<number, number>();
  const said: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => said.push(line));
  const lines = createInterface({ input: child.stdout });
  await new Promise<void>((resolve, reject) => {
    lines.on("line", (line) => {
      said.push(line);
      const [, here, there] = /^Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)$/u.exec(line) ?? [];
      if (here !== undefined) ports.set(Number(there), Number(here));
      if (ports.size === wanted.length) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`Cannot forward ports of ${namespace}/${pod}: ${said.join("; ")}`)));
  });
  return { ports, close: () => end(child) };
}

export interface FollowedLogs {
  close(): Promise<void>;
}

/** Hands on every line that the sidecars of the pods that are there print since `since`. */
export function followSidecars(
  cluster: Cluster,
  namespace: string,
  since: Date,
  onLine: (pod: string, line: string) => void,
): FollowedLogs {
  const selection = ["-l", "heddle.dev/mesh=enabled", "-c", "heddle-proxy", "--prefix"];
  const args = [
    "-n",
    namespace,
    "logs",
    ...selection,
    "--follow",
    `--since-time=${since.toISOString()}`,
    "--max-log-requests=50",
  ];
  const child = startKubectl(cluster, args);
  child.stderr.resume();
  createInterface({ input: child.stdout }).on("line", (text) => {
    const [, pod = "", line = ""] = /^\[pod\/([^/]+)\/[^\]]+\] (.*)$/u.exec(text) ?? [];
    onLine(pod, line);
  });
  return { close: () => end(child) };
}

function startKubectl(cluster: Cluster, args: readonly string[]) {
  // The tests run in the cluster's namespaces: the child is there too, and is ours to end.
  return spawn("kubectl", [...args], { env: cluster.env, stdio: ["ignore", "pipe", "pipe"] });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill();
  await ended;
}
