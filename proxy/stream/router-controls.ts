// What a request's `x-envoy-*` fields ask of the router, and of whom they are believed: requests that are internal (Envoy: router
// filter, HTTP header sanitizing). Listeners without `internal_address_config` believe nobody, and pay nothing.
import { BlockList, isIPv6 } from "node:net";

import type { Cidr } from "#config/model/address.ts";
import type { HeaderMatcher } from "#config/model/matcher.ts";
import type { RetryPolicy } from "#config/model/route.ts";
import { BACKOFF_CAP, BASE_BACKOFF_MS, splitConditions } from "#config/xds/retry-conditions.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** What one request asks for; undefined = nothing. */
export interface RouterControls {
  /** The route's policy with what the request adds to it. */
  readonly retry: RetryPolicy | undefined;
  readonly timeoutMs: number | undefined;
  readonly hedgeOnPerTryTimeout: boolean | undefined;
  /** Timeouts are answered 204. */
  readonly isAltResponse: boolean;
}

/** Fields that control the router: they end here. */
const CONTROLS = [
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-hedge-on-per-try-timeout",
] as const;

/** Removed from whoever is not internal. */
const INTERNAL_ONLY: ReadonlySet<string> = new Set([
  ...CONTROLS,
  "x-envoy-internal",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-force-trace",
  "x-envoy-ip-tags",
  "x-envoy-original-url",
]);

/** Removed at an edge (`use_remote_address`) too. */
const EDGE_ONLY: ReadonlySet<string> = new Set([
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-original-path",
]);

/** Whether somebody who is not internal may not send this field. `name`: any field's. */
export function isForInternal(name: string, isEdge: boolean): boolean {
  return name.startsWith("x-envoy-") && (INTERNAL_ONLY.has(name) || (isEdge && EDGE_ONLY.has(name)));
}

/** Undefined: nobody is internal. */
export function compileInternal(ranges: readonly Cidr[]): ((address: string) => boolean) | undefined {
  if (ranges.length === 0) return undefined;
  const list = new BlockList();
  for (const { address, prefixLength } of ranges)
    list.addSubnet(address, prefixLength, isIPv6(address) ? "ipv6" : "ipv4");
  return (address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}

/** A request is internal when its `x-forwarded-for`, as it goes on, is a single internal address (Envoy). */
export function settleInternal(
  head: HeaderBlock,
  isInternalAddress: (address: string) => boolean,
  isEdge: boolean,
): boolean {
  const forwarded = head.getJoined("x-forwarded-for")?.trim() ?? "";
  if (forwarded !== "" && !forwarded.includes(",") && isInternalAddress(forwarded)) {
    head.set("x-envoy-internal", "true");
    return true;
  }
  for (let i = head.length - 1; i >= 0; i--) {
    const name = head.nameAt(i);
    if (isForInternal(name, isEdge)) head.delete(name);
  }
  return false;
}

/** Takes the controls off an internal request's head; undefined = it has none. */
export function takeControls(head: HeaderBlock, route: RetryPolicy | undefined): RouterControls | undefined {
  const values = new Map<string, string>();
  for (const name of CONTROLS) {
    const value = head.getJoined(name);
    if (value === undefined) continue;
    values.set(name, value);
    head.delete(name);
  }
  if (values.size === 0) return undefined;
  const hedge = values.get("x-envoy-hedge-on-per-try-timeout");
  return {
    retry: mergeRetry(values, route),
    timeoutMs: tryWhole(values.get("x-envoy-upstream-rq-timeout-ms")),
    hedgeOnPerTryTimeout: hedge === "true" ? true : hedge === "false" ? false : undefined,
    isAltResponse: values.has("x-envoy-upstream-rq-timeout-alt-response"),
  };
}

/** Envoy's policy without a word of it. */
const DEFAULT: RetryPolicy = {
  retryOn: [],
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  backoff: { baseMs: BASE_BACKOFF_MS, maxMs: BASE_BACKOFF_MS * BACKOFF_CAP },
  avoidPreviousHosts: false,
  hostSelectionAttempts: 1,
  omitHosts: [],
  rateLimitedBackoff: undefined,
};

/** Conditions, statuses and headers are added to the route's; number and timeout replace it (Envoy: RetryStateImpl, Router). */
function mergeRetry(values: ReadonlyMap<string, string>, route: RetryPolicy | undefined): RetryPolicy | undefined {
  const listed = (name: (typeof CONTROLS)[number]): readonly string[] => splitConditions(values.get(name) ?? "");
  const perTryTimeoutMs = tryWhole(values.get("x-envoy-upstream-rq-per-try-timeout-ms"));
  const retryOn = [...(route?.retryOn ?? []), ...listed("x-envoy-retry-on"), ...listed("x-envoy-retry-grpc-on")];
  if (retryOn.length === 0 && perTryTimeoutMs === undefined) return route;
  const base = route ?? DEFAULT;
  return {
    ...base,
    retryOn,
    numRetries: retryOn.length === 0 ? 0 : (tryWhole(values.get("x-envoy-max-retries")) ?? base.numRetries),
    perTryTimeoutMs: perTryTimeoutMs ?? base.perTryTimeoutMs,
    retriableStatusCodes: [
      ...base.retriableStatusCodes,
      ...listed("x-envoy-retriable-status-codes").flatMap((code) => tryWhole(code) ?? []),
    ],
    retriableHeaders: [...base.retriableHeaders, ...listed("x-envoy-retriable-header-names").map(isPresent)],
  };
}

function isPresent(name: string): HeaderMatcher {
  return { name: name.toLowerCase(), match: { kind: "present", present: true }, invert: false, missingAsEmpty: false };
}

/** Envoy lets be what is no number. */
function tryWhole(value: string | undefined): number | undefined {
  return value !== undefined && /^[0-9]{1,9}$/.test(value.trim()) ? Number(value) : undefined;
}
