// What clients are told of the limits that the service knows.
import type { LimitStatus } from "./messages.ts";

/**
 * `X-RateLimit-*` as Envoy's option DRAFT_VERSION_03 has them (the tightest limit, then all with their windows), and the fields of
 * draft-ietf-httpapi-ratelimit-headers-10. Nothing where no descriptor met a limit.
 */
export function describeLimits(statuses: readonly LimitStatus[]): readonly (readonly [name: string, value: string])[] {
  let tightest: (LimitStatus & { readonly limit: NonNullable<LimitStatus["limit"]> }) | undefined;
  const policies: string[] = [];
  const windows: string[] = [];
  for (const status of statuses) {
    const { limit, remaining } = status;
    if (limit === undefined) continue;
    if (tightest === undefined || remaining < tightest.remaining) tightest = { ...status, limit };
    if (limit.unitSeconds === 0) continue;
    const name = limit.name.replaceAll(/[^\x20-\x7e]|["\\]/g, "_");
    windows.push(`, ${limit.requestsPerUnit};w=${limit.unitSeconds}${name === "" ? "" : `;name="${name}"`}`);
    policies.push(`"${name === "" ? "default" : name}";q=${limit.requestsPerUnit};w=${limit.unitSeconds}`);
  }
  if (tightest === undefined) return [];
  const { limit, remaining, resetMs } = tightest;
  const seconds = Math.floor(resetMs / 1000);
  const name = limit.name === "" ? "default" : limit.name.replaceAll(/[^\x20-\x7e]|["\\]/g, "_");
  return [
    ...(policies.length === 0 ? [] : ([["ratelimit-policy", policies.join(", ")]] as const)),
    ["ratelimit", `"${name}";r=${remaining};t=${seconds}`],
    ["x-ratelimit-limit", `${limit.requestsPerUnit}${windows.join("")}`],
    ["x-ratelimit-remaining", String(remaining)],
    ["x-ratelimit-reset", String(seconds)],
  ];
}

/** Seconds until the last of the limits that were met is reset; undefined: none says. */
export function retryAfterOf(statuses: readonly LimitStatus[]): number | undefined {
  const over = statuses.filter(({ isOver, limit }) => isOver && limit !== undefined);
  return over.length === 0 ? undefined : Math.max(1, ...over.map(({ resetMs }) => Math.ceil(resetMs / 1000)));
}
