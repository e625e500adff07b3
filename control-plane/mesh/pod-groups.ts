// Captured workloads by service account, in groups small enough that a change of one pod costs little, however many there are.
import { createHash } from "node:crypto";
import type { Workload } from "./workload.ts";

/** A group of more is divided. */
const MAX_PODS = 64;

/**
 * By `namespace/service account/group number`; in each group by id. A pod stays in its group while others come and go, unless their
 * number crosses a power of two.
 */
export function groupPods(workloads: ReadonlyMap<string, Workload>): ReadonlyMap<string, readonly Workload[]> {
  const accounts = new Map<string, Workload[]>();
  for (const workload of workloads.values())
    if (workload.capture !== undefined) put(accounts, `${workload.namespace}/${workload.serviceAccount}`, workload);
  const groups = new Map<string, Workload[]>();
  for (const [account, pods] of accounts) {
    const count = pods.length <= MAX_PODS ? 1 : 2 ** Math.ceil(Math.log2((2 * pods.length) / MAX_PODS));
    for (const pod of pods.toSorted((left, right) => (left.id < right.id ? -1 : 1)))
      put(groups, `${account}/${count === 1 ? 0 : hashOf(pod) % count}`, pod);
  }
  return groups;
}

const hashes = new WeakMap<Workload, number>();

function hashOf(pod: Workload): number {
  let hash = hashes.get(pod);
  if (hash === undefined) {
    hash = createHash("sha256").update(pod.id).digest().readUInt32BE();
    hashes.set(pod, hash);
  }
  return hash;
}

function put(lists: Map<string, Workload[]>, key: string, workload: Workload): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [workload]);
  else list.push(workload);
}
