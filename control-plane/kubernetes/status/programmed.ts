// Whether proxies have taken an object on: from their receipts, against the mesh version in which the object came into force.
import type { ProxyStatus } from "../../discovery/proxy-record.ts";
import type { StatusCondition } from "./merge.ts";

export class ProgrammedTracker {
  readonly #since = new Map<string, { readonly identity: unknown; readonly sequence: number; isDone: boolean }>();

  /**
   * `identity` is the same as long as the object is in force unchanged; `sequence` that of the mesh now. What all proxies had once
   * stays programmed: a proxy that comes later is not ready before it has everything.
   */
  conditionOf(
    key: string,
    identity: unknown,
    sequence: number,
    proxies: readonly ProxyStatus[],
    rejection: string | undefined,
  ): StatusCondition {
    let since = this.#since.get(key);
    if (since === undefined || since.identity !== identity)
      this.#since.set(key, (since = { identity, sequence, isDone: false }));
    if (rejection !== undefined) return { type: "Programmed", status: "False", reason: "Refused", message: rejection };
    const needed = since.sequence;
    since.isDone ||= proxies.every((proxy) => !proxy.connected || sequenceOf(proxy.applied?.version) >= needed);
    return since.isDone
      ? { type: "Programmed", status: "True", reason: "Programmed", message: "" }
      : { type: "Programmed", status: "Unknown", reason: "Pending", message: "not all proxies have taken it yet" };
  }

  /** Forgets objects that are not there any more. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#since.keys()) if (!keys.has(key)) this.#since.delete(key);
  }

  /** Something has not been taken by all proxies. */
  get isWaiting(): boolean {
    return [...this.#since.values()].some(({ isDone }) => !isDone);
  }
}

/** Versions of meshes count up within one control plane: `<sequence>-<hash>`. */
function sequenceOf(version: string | undefined): number {
  return version === undefined ? -1 : Number.parseInt(version, 10);
}
