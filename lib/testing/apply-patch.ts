// Applies a JSON patch as an API server would, to see that it leads where it should.
import type { PatchOperation } from "../json-patch.ts";

/** A changed copy. Throws where a path leads nowhere. */
export function applyPatch(value: unknown, operations: readonly PatchOperation[]): unknown {
  let root: unknown = structuredClone(value);
  for (const operation of operations) {
    const { path } = operation;
    const last = path.at(-1);
    if (last === undefined) {
      root = operation.op === "remove" ? undefined : operation.value;
      continue;
    }
    let parent = root;
    for (const step of path.slice(0, -1)) parent = childOf(parent, step);
    change(parent, last, operation);
  }
  return root;
}

function change(parent: unknown, last: string | number, operation: PatchOperation): void {
  if (Array.isArray(parent) && typeof last === "number") {
    if (operation.op === "remove") parent.splice(last, 1);
    else parent.splice(last, operation.op === "add" ? 0 : 1, operation.value);
    return;
  }
  const object = parent as Record<string, unknown>; // as: a patch of ours has paths into the value alone
  if (operation.op === "remove") delete object[last];
  else object[last] = operation.value;
}

function childOf(parent: unknown, step: string | number): unknown {
  const child = (parent as Record<string | number, unknown>)[step]; // as: see above
  if (child === undefined) throw new TypeError(`there is no ${step}`);
  return child;
}
