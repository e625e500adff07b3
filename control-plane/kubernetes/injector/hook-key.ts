// The part of a hook's path that only the pod's own specification says: port 15020 takes no certificate, and who reaches it must not
// be able to have an application's postStart or preStop done. Probes have none: asking whether an application lives changes nothing.
import { createHash, randomBytes } from "node:crypto";
import { isObject } from "#config/load/values.ts";
import type { Pod } from "./pod.ts";

const BYTES = 16;
const FORM = /^[0-9a-f]{32}$/;

/** Of a pod that is being made: nobody knows the next one. */
export function randomHookKey(): string {
  return randomBytes(BYTES).toString("hex");
}

/** Of a template in a file, which must come out the same each time: as hard to guess as the whole template. */
export function digestHookKey(pod: Pod): string {
  return createHash("sha256")
    .update(JSON.stringify(pod, sortKeys))
    .digest("hex")
    .slice(0, 2 * BYTES);
}

/** A pod that the proxy was taken out of has its fields in another order. */
function sortKeys(_key: string, value: unknown): unknown {
  return isObject(value) ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))) : value;
}

export function isHookKey(text: string | undefined): text is string {
  return text !== undefined && FORM.test(text);
}
