// FallbackPolicy as settings of the fallback filter.
import { durationMs } from "#config/schema/duration.ts";
import type { FallbackPolicy } from "#config/schema/fallback-policy.ts";
import { grpcStatusNames } from "#lib/grpc/status.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { filterTypes } from "../filter-types.ts";
import { resolveBackend, type ResolvedBackend } from "../gateway-api/backends.ts";
import { documentName } from "../names.ts";
import type { Backend, Scope } from "../scope.ts";
import { policyOfPort, policyOfRule } from "./attached.ts";
import type { FilterSettings, PolicyFilter, PolicyPort, PolicyRule } from "./policy-filters.ts";

export const fallbackPolicies: PolicyFilter = {
  name: filterTypes.fallback.name,
  settings: { typeUrl: filterTypes.fallback.typeUrl, config: {} },
  // Opaque bytes have no request that could be answered.
  forPort: (reader, target) =>
    target.port.protocol === "TCP" ? undefined : settingsOf(reader, target, policyOfPort(reader, "fallbacks", target)),
  // In the place of the port's.
  forRule: (reader, target) => settingsOf(reader, target, policyOfRule(reader, "fallbacks", target)),
};

/** Where fallbacks may send requests of these rules of a port: only ours do. */
export function fallbackBackends(
  { reader, dialect }: Scope,
  target: PolicyPort,
  rules: readonly Pick<PolicyRule, "route" | "rule">[],
): readonly Backend[] {
  if (dialect !== "heddle") return [];
  const policies = [
    policyOfPort(reader, "fallbacks", target),
    ...rules.map((one) => policyOfRule(reader, "fallbacks", { ...target, ...one })),
  ];
  return policies.flatMap((policy) => {
    const resolved = policy && resolveFallback(reader, policy, target);
    return resolved?.kind === "backend" ? [resolved.backend] : [];
  });
}

/** Undefined: the policy names no service. */
export function resolveFallback(
  reader: MeshReader,
  { metadata, spec }: FallbackPolicy,
  target: { readonly service: string },
): ResolvedBackend | undefined {
  if (spec.service === undefined) return undefined;
  const { backendRef } = spec.service;
  return resolveBackend({ reader, dialect: "heddle", clientNamespace: "" }, backendRef, {
    routeKind: "FallbackPolicy",
    routeNamespace: metadata.namespace,
    parentService: target.service,
    parentPort: backendRef.port,
  });
}

/** One answer is given: the most specific policy's, of several the oldest's. */
function settingsOf(
  reader: MeshReader,
  target: PolicyPort,
  policy: FallbackPolicy | undefined,
): FilterSettings | undefined {
  if (policy === undefined) return undefined;
  const { when, service, cached, static: fixed } = policy.spec;
  const resolved = resolveFallback(reader, policy, target);
  return {
    typeUrl: filterTypes.fallback.typeUrl,
    config: {
      rule: documentName(policy),
      conditions: when.conditions,
      statuses: when.statuses,
      ...(resolved?.kind === "backend"
        ? {
            service: {
              cluster: resolved.backend.cluster,
              subset: Object.entries(resolved.labels).map(([key, value]) => ({ key, value })),
              ...(service?.timeout === undefined ? {} : { timeoutMs: durationMs(service.timeout) }),
            },
          }
        : {}),
      ...(cached === undefined
        ? {}
        : {
            cached: {
              maxAgeMs: durationMs(cached.maxAge),
              maxEntries: cached.maxEntries,
              maxBytes: cached.maxKib * 1024,
              keyHeaders: cached.keyHeaders.map((name) => name.toLowerCase()),
            },
          }),
      ...(fixed === undefined
        ? {}
        : {
            static: {
              status: fixed.status,
              contentType: fixed.contentType,
              body: fixed.body,
              headers: fixed.headers.map(({ name, value }) => ({ name: name.toLowerCase(), value })),
              grpcStatus: grpcStatusNames.indexOf(fixed.grpcStatus),
            },
          }),
    },
  };
}
