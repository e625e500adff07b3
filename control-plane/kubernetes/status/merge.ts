// What a status becomes when our findings are put into it: nothing of others is touched, and nothing changes that says the same. Pure.
import { isDeepStrictEqual } from "node:util";
import { isObject } from "#config/load/values.ts";
import { fieldsOf, objectsOf } from "../objects.ts";

/** Our name among the controllers of a route's parents. */
export const CONTROLLER_NAME = "heddle.dev/gateway-controller";

/** A `metav1.Condition` but for its times. */
export interface StatusCondition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** Our findings for one parent of a route. */
export interface ParentFinding {
  /** As it stands in the route's spec, field for field. */
  readonly ref: unknown;
  readonly conditions: readonly StatusCondition[];
}

type Fields = Readonly<Record<string, unknown>>;

export interface WrittenAt {
  /** The generation that the conditions are about. */
  readonly generation: number;
  /** RFC 3339, for conditions whose status changes. */
  readonly now: string;
}

/** The status to write; undefined: the one that is there says all of it. */
export function nextRouteStatus(current: unknown, found: readonly ParentFinding[], at: WrittenAt): Fields | undefined {
  const before = objectsOf(fieldsOf(current)["parents"]);
  const rest = new Set(found);
  const parents = before.flatMap((entry): Fields[] => {
    if (entry["controllerName"] !== CONTROLLER_NAME) return [entry];
    const finding = [...rest].find(({ ref }) => isDeepStrictEqual(plain(ref), plain(entry["parentRef"])));
    // A parent that the route does not name any more.
    if (finding === undefined) return [];
    rest.delete(finding);
    const conditions = nextConditions(entry["conditions"], finding.conditions, at);
    return [conditions === undefined ? entry : { ...entry, conditions }];
  });
  for (const { ref, conditions } of rest)
    parents.push({
      parentRef: plain(ref),
      controllerName: CONTROLLER_NAME,
      conditions: nextConditions([], conditions, at) ?? [],
    });
  // Gateway API allows no more.
  const some = parents.slice(0, 32);
  return isDeepStrictEqual(some, before) ? undefined : { parents: some };
}

/** As `nextRouteStatus`, for our own kinds. */
export function nextPolicyStatus(
  current: unknown,
  found: readonly StatusCondition[],
  at: WrittenAt,
): Fields | undefined {
  const before = fieldsOf(current);
  const conditions = nextConditions(before["conditions"], found, at);
  if (conditions === undefined && before["observedGeneration"] === at.generation) return undefined;
  return { observedGeneration: at.generation, conditions: conditions ?? objectsOf(before["conditions"]) };
}

/** undefined: what is there says all of it. A condition's time is that of its last change of status. */
function nextConditions(
  current: unknown,
  found: readonly StatusCondition[],
  { generation, now }: WrittenAt,
): readonly Fields[] | undefined {
  const before = objectsOf(current);
  const next = found.map(({ type, status, reason, message }) => {
    const old = before.find((condition) => condition["type"] === type);
    const lastTransitionTime = old?.["status"] === status ? old["lastTransitionTime"] : now;
    return {
      type,
      status,
      reason,
      message: message.slice(0, 32_768),
      observedGeneration: generation,
      lastTransitionTime,
    };
  });
  return isDeepStrictEqual(next.toSorted(byType), before.map(plain).toSorted(byType)) ? undefined : next;
}

function byType(left: Fields, right: Fields): number {
  return String(left["type"]) < String(right["type"]) ? -1 : 1;
}

/** As JSON has it: without fields that are undefined. */
function plain<T>(value: T): T {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T; // fields of it alone
}
