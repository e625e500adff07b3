// Which policies of a kind with targets and a direction are for a port, or for one rule of a route. All of them hold together, or the most specific.
import type { FallbackPolicy } from "#config/schema/fallback-policy.ts";
import type { FaultPolicy } from "#config/schema/fault-policy.ts";
import type { RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { keyOfTarget, targetKey } from "../../mesh/snapshot.ts";
import type { PolicyPort, PolicyRule } from "./policy-filters.ts";

interface Tables {
  readonly rateLimits: RateLimitPolicy;
  readonly fallbacks: FallbackPolicy;
  readonly faults: FaultPolicy;
}

/** For all requests to a port, in the order of precedence. */
export function policiesOfPort<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  { service, port, direction }: PolicyPort,
): readonly Tables[Table][] {
  const [namespace = "", name = ""] = service.split("/");
  const isSection = (section: string | undefined): boolean => section === undefined || section === port.name;
  return policiesFor(reader, table, targetKey("Service", namespace, name), direction, isSection);
}

/** For the requests of one rule. */
export function policiesOfRule<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  { route, rule, direction }: PolicyRule,
): readonly Tables[Table][] {
  const { namespace, name } = route.metadata;
  const isSection = (section: string | undefined): boolean => section === undefined || section === rule.name;
  return policiesFor(reader, table, targetKey(route.kind, namespace, name), direction, isSection);
}

/** The one of `policiesOfPort` that holds where only one can: one for this very port before those for all, then the oldest. */
export function policyOfPort<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  { service, port, direction }: PolicyPort,
): Tables[Table] | undefined {
  const [namespace = "", name = ""] = service.split("/");
  return policyFor(reader, table, targetKey("Service", namespace, name), direction, port.name);
}

/** The same of `policiesOfRule`. */
export function policyOfRule<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  { route, rule, direction }: PolicyRule,
): Tables[Table] | undefined {
  const { namespace, name } = route.metadata;
  return policyFor(reader, table, targetKey(route.kind, namespace, name), direction, rule.name);
}

function policyFor<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  key: string,
  direction: PolicyPort["direction"],
  part: string | undefined,
): Tables[Table] | undefined {
  const own = policiesFor(reader, table, key, direction, (section) => section === part);
  return own[0] ?? policiesFor(reader, table, key, direction, (section) => section === undefined)[0];
}

function policiesFor<Table extends keyof Tables>(
  reader: MeshReader,
  table: Table,
  key: string,
  direction: PolicyPort["direction"],
  isSection: (section: string | undefined) => boolean,
): readonly Tables[Table][] {
  const all = (reader.get(table, key) ?? []) as readonly Tables[Table][]; // the table's own value type
  return all.filter(
    ({ metadata, spec }) =>
      spec.direction === direction &&
      spec.targetRefs.some((ref) => keyOfTarget({ metadata }, ref) === key && isSection(ref.sectionName)),
  );
}
