// What is to be said of each object of the API server: from what translation found, or from why it was refused.
import { isObject } from "#config/load/values.ts";
import type { ConfigError } from "#config/load/config-error.ts";
import type { ObjectStatus } from "../../translate/status.ts";
import type { ConfigRecord } from "../config-objects.ts";
import { objectsOf, fieldsOf } from "../objects.ts";
import { nextPolicyStatus, nextRouteStatus, type ParentFinding, type StatusCondition } from "./merge.ts";

/** The findings of one moment, by `kubernetes HTTPRoute shop/cart`. */
export interface Findings {
  readonly statuses: ReadonlyMap<string, ObjectStatus>;
  readonly errors: ReadonlyMap<string, readonly ConfigError[]>;
}

/** `programmed` is asked for objects that are accepted. */
export function statusToWrite(
  kind: string,
  place: string,
  record: ConfigRecord,
  { statuses, errors }: Findings,
  programmed: (status: ObjectStatus) => StatusCondition,
  now: string,
): Readonly<Record<string, unknown>> | undefined {
  const { generation = 0 } = record.metadata;
  const at = { generation, now };
  const refusal = errors.get(place);
  const status = statuses.get(place);
  if (refusal !== undefined) return refused(kind, record, refusal, at);
  // Translation has not seen this version yet, or says nothing of it.
  if (status === undefined)
    return kind === "ServiceEntry" ? nextPolicyStatus(record.status, [accepted], at) : undefined;
  if (status.observedGeneration !== undefined && status.observedGeneration !== generation) return undefined;
  const complete = (conditions: readonly StatusCondition[]): readonly StatusCondition[] =>
    conditions.some((condition) => condition.type !== "Effective" && condition.status !== "True")
      ? conditions
      : [...conditions, programmed(status)];
  if (!isRoute(kind)) return nextPolicyStatus(record.status, complete(status.conditions), at);
  return nextRouteStatus(
    record.status,
    status.parents.map(({ ref, conditions }) => ({ ref, conditions: complete(conditions) })),
    at,
  );
}

/** Kinds whose status is `parents`. */
function isRoute(kind: string): boolean {
  return kind === "HTTPRoute" || kind === "GRPCRoute";
}

const accepted: StatusCondition = { type: "Accepted", status: "True", reason: "Accepted", message: "" };

function refused(
  kind: string,
  { spec, status }: ConfigRecord,
  errors: readonly ConfigError[],
  at: { readonly generation: number; readonly now: string },
): Readonly<Record<string, unknown>> | undefined {
  const condition: StatusCondition = {
    type: "Accepted",
    status: "False",
    // One of Gateway API's own words; policies take it too.
    reason: isRoute(kind) ? "UnsupportedValue" : "Invalid",
    message: `${errors.map(({ message }) => message).join("; ")}. The last good version stays in force`,
  };
  if (!isRoute(kind)) return nextPolicyStatus(status, [condition], at);
  return nextRouteStatus(status, serviceParents(spec, condition), at);
}

/** Parents of a route that could not be read: those that say that they are Services. */
function serviceParents(spec: unknown, condition: StatusCondition): readonly ParentFinding[] {
  const refs = isObject(spec) ? objectsOf(fieldsOf(spec)["parentRefs"]) : [];
  return refs
    .filter(({ kind, group }) => kind === "Service" && (group === "" || group === "core"))
    .map((ref) => ({ ref, conditions: [condition] }));
}
