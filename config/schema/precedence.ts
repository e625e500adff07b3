// Which of two objects that say different things holds: one order, for the translation, for statuses and for `heddle analyze`.
import type { Resource } from "./kinds.ts";

/**
 * Gateway API (policy and route conflicts): the oldest holds, then the first by namespace and name. What was not made by
 * Kubernetes has no age and comes first.
 */
export function byPrecedence(left: Resource, right: Resource): number {
  const leftTime = left.metadata.creationTimestamp ?? "";
  const rightTime = right.metadata.creationTimestamp ?? "";
  if (leftTime !== rightTime) return leftTime < rightTime ? -1 : 1;
  return byName(left, right);
}

/** By kind, namespace and name. */
export function byName(left: Resource, right: Resource): number {
  const leftKey = keyOf(left);
  const rightKey = keyOf(right);
  return leftKey < rightKey ? -1 : leftKey > rightKey ? 1 : 0;
}

function keyOf({ kind, metadata }: Resource): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`;
}
