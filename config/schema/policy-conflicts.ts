// Warns where two policies of a kind want to say the same thing of the same target: only one of them can.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import { resourceName, type Resource } from "./kinds.ts";
import type { PolicyTarget } from "./policy-targets.ts";

interface Claim {
  readonly policy: Resource;
  readonly path: JsonPath;
}

/** Of two policies for one target the first by name wins (Gateway API, policy conflicts); the other is told. */
export function findPolicyConflicts(resources: readonly Resource[]): ConfigError[] {
  const claims = new Map<string, Claim>();
  const problems: ConfigError[] = [];
  for (const policy of resources.toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1))) {
    for (const { target, path, block } of claimsOf(policy)) {
      const { namespace } = policy.metadata;
      const key = JSON.stringify([policy.kind, block, namespace, target.kind, target.name, target.sectionName]);
      const winner = claims.get(key);
      if (winner === undefined) claims.set(key, { policy, path });
      else if (winner.policy !== policy) problems.push(conflict(policy, path, block, winner.policy));
    }
  }
  return problems;
}

function conflict(policy: Resource, path: JsonPath, block: string, winner: Resource): ConfigError {
  const { file, line } = winner.source;
  const message = `${resourceName(policy)} is accepted, but what it says of ${block} has no effect on this target: ${resourceName(winner)} comes first (${file}:${line})`;
  const hint = "of two policies for one target the first by name wins";
  return problemAt(policy.source, path, { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message, hint });
}

function claimsOf(policy: Resource): { target: PolicyTarget; path: JsonPath; block: string }[] {
  // Rate limits of several policies add up; PeerAuthentication by ports is decided where ports are known.
  if (policy.kind !== "TrafficPolicy" && policy.kind !== "Telemetry") return [];
  const { targetRefs = [], ...blocks } = policy.spec;
  // Timeouts merge field by field: what two policies say of one field is a conflict, the block as such is not.
  const names = Object.entries(blocks).flatMap(([block, value]) =>
    block === "timeouts" ? Object.keys(value ?? {}).map((field) => `${block}.${field}`) : [block],
  );
  return targetRefs.flatMap((target, at) =>
    names.map((block) => ({ target, path: ["spec", "targetRefs", at], block })),
  );
}
