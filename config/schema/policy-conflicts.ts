// Two policies of a kind that want to say the same thing of the same target: only one of them can, and the other is told.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import { resourceName, type Resource } from "./kinds.ts";
import { grantSourceOf, isTargetPermitted, type GrantSource } from "./policy-grants.ts";
import { byPrecedence } from "./precedence.ts";

/** What a policy says, and something else holds. */
export interface PolicyConflict {
  readonly policy: Resource;
  /** Of the policy: where it says for what it is. */
  readonly path: JsonPath;
  /** The part of it that has no effect there. */
  readonly block: string;
  readonly winner: Resource;
}

interface Claim {
  /** Whose the target is. */
  readonly namespace: string;
  /** What it is for, as text that is the same for the same. */
  readonly target: string;
  readonly path: JsonPath;
  readonly block: string;
}

/** Of two policies for one target the first in the order of precedence holds, block by block. */
export function conflictsOf(resources: readonly Resource[]): readonly PolicyConflict[] {
  const source = grantSourceOf(resources);
  const winners = new Map<string, Resource>();
  const conflicts: PolicyConflict[] = [];
  const claims = resources.toSorted(byPrecedence).flatMap((policy) => {
    const permitted = claimsOf(policy, source);
    return permitted.map((claim) => ({ policy, claim, isOwn: claim.namespace === policy.metadata.namespace }));
  });
  // What the owner of a target says of it comes before what others were granted to say.
  for (const { policy, claim } of claims.toSorted((left, right) => Number(right.isOwn) - Number(left.isOwn))) {
    const { namespace, target, path, block } = claim;
    const key = JSON.stringify([policy.kind, namespace, target, block]);
    const winner = winners.get(key);
    if (winner === undefined) winners.set(key, policy);
    else if (winner !== policy) conflicts.push({ policy, path, block, winner });
  }
  return conflicts;
}

/** Whether a policy has lost all that it says, everywhere. */
export function isWhollyOverruled(policy: Resource, conflicts: readonly PolicyConflict[]): boolean {
  return conflicts.length > 0 && conflicts.length === claimsOf(policy, undefined).length;
}

/** The same as warnings, for `heddle analyze`. */
export function findPolicyConflicts(resources: readonly Resource[]): ConfigError[] {
  return conflictsOf(resources).map(({ policy, path, block, winner }) => {
    const { file, line } = winner.source;
    const message = `${resourceName(policy)} is accepted, but what it says of ${block} has no effect on this target: ${resourceName(winner)} comes first (${line === 0 ? file : `${file}:${line}`})`;
    const hint =
      "of two policies for one target the one of its own namespace wins, then the oldest, then the first by name";
    return problemAt(policy.source, path, { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message, hint });
  });
}

/** Without a source all targets are claimed, permitted or not. */
function claimsOf(policy: Resource, source: GrantSource | undefined): readonly Claim[] {
  switch (policy.kind) {
    case "TrafficPolicy":
    case "Telemetry": {
      const { targetRefs, ...blocks } = policy.spec;
      return targetsOf(policy, targetRefs, source).flatMap((target) =>
        partsOf(blocks).map((block) => ({ ...target, block })),
      );
    }
    case "PeerAuthentication": {
      const { targetRefs, selector, ports = [] } = policy.spec;
      const blocks = ["mode", ...ports.map(({ port }) => `port ${port}`)];
      const { namespace } = policy.metadata;
      const selected = { namespace, target: JSON.stringify(selector), path: ["spec", "selector"] };
      const targets = selector === undefined ? targetsOf(policy, targetRefs, source) : [selected];
      return targets.flatMap((target) => blocks.map((block) => ({ ...target, block })));
    }
    // A client's sidecar and the server's own can each have one.
    case "FallbackPolicy": {
      const { targetRefs, direction } = policy.spec;
      return targetsOf(policy, targetRefs, source).map((target) => ({ ...target, block: `fallback (${direction})` }));
    }
    // Several for one target hold together.
    case "RateLimitPolicy":
    case "FaultPolicy":
      return [];
    // What routes say of one request is decided by their matches; of the others there is no second one for a target.
    case "HTTPRoute":
    case "GRPCRoute":
    case "MeshConfig":
    case "ReferenceGrant":
    case "ServiceEntry":
    case "ServiceSubset":
      return [];
    default:
      return policy satisfies never;
  }
}

/** Timeouts merge field by field: what two policies say of one field is a conflict, the block as such is not. */
function partsOf(blocks: object): readonly string[] {
  return Object.entries(blocks).flatMap(([block, value]: [string, unknown]) => {
    if (value === undefined) return [];
    return block === "timeouts" ? Object.keys(value ?? {}).map((field) => `timeouts.${field}`) : [block];
  });
}

interface Ref {
  readonly namespace?: string | undefined;
  readonly group?: string | undefined;
  readonly kind: string;
  readonly name: string;
  readonly sectionName?: string | undefined;
}

/** Without targets a policy is for its whole namespace. */
function targetsOf(
  policy: Resource,
  refs: readonly Ref[] | undefined,
  source: GrantSource | undefined,
): readonly Omit<Claim, "block">[] {
  const own = policy.metadata.namespace;
  if (refs === undefined) return [{ namespace: own, target: "namespace", path: ["spec"] }];
  return refs.flatMap((ref, at) => {
    if (source !== undefined && !isTargetPermitted(policy, ref, source)) return [];
    const { kind, name, sectionName, namespace = own } = ref;
    const target = JSON.stringify([kind === "ServiceEntry" ? "Service" : kind, name, sectionName]);
    return [{ namespace, target, path: ["spec", "targetRefs", at] }];
  });
}
