// Two policies of a kind that want to say the same thing of the same target: only one of them can, and the other is told.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import { resourceName, type Resource } from "./kinds.ts";
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
  /** What it is for, as text that is the same for the same. */
  readonly target: string;
  readonly path: JsonPath;
  readonly block: string;
}

/** Of two policies for one target the first in the order of precedence holds, block by block. */
export function conflictsOf(resources: readonly Resource[]): readonly PolicyConflict[] {
  const winners = new Map<string, Resource>();
  const conflicts: PolicyConflict[] = [];
  for (const policy of resources.toSorted(byPrecedence))
    for (const { target, path, block } of claimsOf(policy)) {
      const key = JSON.stringify([policy.kind, policy.metadata.namespace, target, block]);
      const winner = winners.get(key);
      if (winner === undefined) winners.set(key, policy);
      else if (winner !== policy) conflicts.push({ policy, path, block, winner });
    }
  return conflicts;
}

/** Whether a policy has lost all that it says, everywhere. */
export function isWhollyOverruled(policy: Resource, conflicts: readonly PolicyConflict[]): boolean {
  return conflicts.length > 0 && conflicts.length === claimsOf(policy).length;
}

/** The same as warnings, for `heddle analyze`. */
export function findPolicyConflicts(resources: readonly Resource[]): ConfigError[] {
  return conflictsOf(resources).map(({ policy, path, block, winner }) => {
    const { file, line } = winner.source;
    const message = `${resourceName(policy)} is accepted, but what it says of ${block} has no effect on this target: ${resourceName(winner)} comes first (${line === 0 ? file : `${file}:${line}`})`;
    const hint = "of two policies for one target the oldest wins, then the first by name";
    return problemAt(policy.source, path, { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message, hint });
  });
}

function claimsOf(policy: Resource): readonly Claim[] {
  switch (policy.kind) {
    case "TrafficPolicy":
    case "Telemetry": {
      const { targetRefs, ...blocks } = policy.spec;
      return targetsOf(targetRefs).flatMap((target) => partsOf(blocks).map((block) => ({ ...target, block })));
    }
    case "PeerAuthentication": {
      const { targetRefs, selector, ports = [] } = policy.spec;
      const blocks = ["mode", ...ports.map(({ port }) => `port ${port}`)];
      const selected = { target: JSON.stringify(selector), path: ["spec", "selector"] };
      const targets = selector === undefined ? targetsOf(targetRefs) : [selected];
      return targets.flatMap((target) => blocks.map((block) => ({ ...target, block })));
    }
    // A client's sidecar and the server's own can each have one.
    case "FallbackPolicy": {
      const { targetRefs, direction } = policy.spec;
      return targetsOf(targetRefs).map((target) => ({ ...target, block: `fallback (${direction})` }));
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
  readonly kind: string;
  readonly name: string;
  readonly sectionName?: string | undefined;
}

/** Without targets a policy is for its whole namespace. */
function targetsOf(refs: readonly Ref[] | undefined): readonly Omit<Claim, "block">[] {
  if (refs === undefined) return [{ target: "namespace", path: ["spec"] }];
  return refs.map(({ kind, name, sectionName }, at) => ({
    target: JSON.stringify([kind === "ServiceEntry" ? "Service" : kind, name, sectionName]),
    path: ["spec", "targetRefs", at],
  }));
}
