// What a route does with a request: forward, redirect or answer, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { DirectResponseAction, ForwardAction, RedirectAction, RegexRewrite } from "../model/route.ts";
import { clusterTargetFromWire, clusterTargetToWire } from "./cluster-target.ts";
import { inlineText, readText } from "./data-source.ts";
import { toMs, toMsOr } from "./duration.ts";
import { durationGiven, durationUnless, given } from "./fields.ts";
import { RoutingPriority } from "./gen/envoy/config/core/v3/base_pb.ts";
import {
  DirectResponseActionSchema,
  RedirectActionSchema,
  RedirectAction_RedirectResponseCode as RedirectCode,
  RouteActionSchema,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  type DirectResponseAction as WireDirectResponse,
  type RedirectAction as WireRedirect,
  type RouteAction as WireAction,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import {
  RegexMatchAndSubstituteSchema as RegexRewriteSchema,
  type RegexMatchAndSubstitute,
} from "./gen/envoy/type/matcher/v3/regex_pb.ts";
import { hashPolicyFromWire, hashPolicyToWire } from "./hash-policy.ts";
import type { Scope } from "./issues.ts";
import { fractionToWire, regexFromWire, runtimeFractionFromWire } from "./matcher.ts";
import { LB_KEY } from "./metadata-keys.ts";
import { labelsFromWire, metadataToWire } from "./metadata.ts";
import { rateLimitsFromWire, rateLimitsToWire } from "./rate-limits.ts";
import { retryFromWire, retryToWire } from "./retry.ts";

/** Envoy's: a route that says nothing gives up after 15 s. */
const TIMEOUT_MS = 15_000;

const NOT_FOUND = [
  [NotFoundCode.SERVICE_UNAVAILABLE, 503],
  [NotFoundCode.NOT_FOUND, 404],
  [NotFoundCode.INTERNAL_SERVER_ERROR, 500],
] as const;

const REDIRECTS = [
  [RedirectCode.MOVED_PERMANENTLY, 301],
  [RedirectCode.FOUND, 302],
  [RedirectCode.SEE_OTHER, 303],
  [RedirectCode.TEMPORARY_REDIRECT, 307],
  [RedirectCode.PERMANENT_REDIRECT, 308],
] as const;

/** What a message can be made of, without the message itself. */
type ActionInit = Exclude<MessageInitShape<typeof RouteActionSchema>, WireAction>;
type RedirectInit = Exclude<MessageInitShape<typeof RedirectActionSchema>, WireRedirect>;
type RedirectPathInit = NonNullable<RedirectInit["pathRewriteSpecifier"]>;

export function forwardFromWire(wire: WireAction, scope: Scope): ForwardAction {
  const { regexRewrite } = wire;
  const host = wire.hostRewriteSpecifier;
  checkRewrites(wire, scope);
  return {
    kind: "forward",
    target: clusterTargetFromWire(wire, scope),
    clusterNotFoundStatus: NOT_FOUND.find(([code]) => code === wire.clusterNotFoundResponseCode)?.[1] ?? 503,
    // As in Envoy the default of 15 s is not for routes with `max_stream_duration`.
    timeoutMs: toMsOr(wire.timeout, wire.maxStreamDuration === undefined ? TIMEOUT_MS : 0),
    idleTimeoutMs: wire.idleTimeout && toMs(wire.idleTimeout),
    maxGrpcTimeoutMs: maxGrpcTimeout(wire),
    grpcTimeoutOffsetMs: toMsOr(wire.maxStreamDuration?.grpcTimeoutHeaderOffset ?? wire.grpcTimeoutOffset, 0),
    maxStreamMs: wire.maxStreamDuration?.maxStreamDuration && toMs(wire.maxStreamDuration.maxStreamDuration),
    hedgeOnPerTryTimeout: wire.hedgePolicy?.hedgeOnPerTryTimeout,
    retry: retryFromWire(wire.retryPolicy, scope.field("retry_policy")),
    hashPolicy: wire.hashPolicy.flatMap(
      (item, index) => hashPolicyFromWire(item, scope.field("hash_policy").at(index)) ?? [],
    ),
    prefixRewrite: nonEmpty(wire.prefixRewrite),
    pathRewrite: nonEmpty(wire.pathRewrite),
    regexRewrite: regexRewrite && regexRewriteFromWire(regexRewrite, scope.field("regex_rewrite")),
    hostRewrite: host.case === "hostRewriteLiteral" ? host.value : undefined,
    ...hostSourceFromWire(host, scope),
    autoHostRewrite: host.case === "autoHostRewrite" && host.value.value,
    subset: labelsFromWire(wire.metadataMatch, LB_KEY, scope.field("metadata_match")),
    mirrors: wire.requestMirrorPolicies.map((mirror, index) => {
      if (mirror.cluster === "")
        scope.field("request_mirror_policies").at(index).field("cluster").invalid("must not be empty");
      return {
        cluster: mirror.cluster,
        fraction: runtimeFractionFromWire(mirror.runtimeFraction) ?? { numerator: 100, denominator: 100 },
      };
    }),
    upgrades: wire.upgradeConfigs.map((upgrade) => ({ name: upgrade.upgradeType, enabled: upgrade.enabled ?? true })),
    priority: wire.priority === RoutingPriority.HIGH ? "high" : "default",
    ...rateLimitsFromWire(wire.rateLimits, scope.field("rate_limits")),
    ...(wire.includeVhRateLimits === true ? { includeVirtualHostRateLimits: true } : {}),
  };
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

/** The newer field says the same as the older and wins, as in Envoy. */
function maxGrpcTimeout(wire: WireAction): number | undefined {
  const max = wire.maxStreamDuration?.grpcTimeoutHeaderMax ?? wire.maxGrpcTimeout;
  return max && toMs(max);
}

/**
 * Envoy does not look at `timeout` where `max_stream_duration` is set, whatever is in it: only a route that limits its streams has it,
 * and `grpc-timeout` is bounded by the older fields elsewhere. Heddle keeps to both, so nothing is lost on the way.
 */
function timesToWire(
  model: ForwardAction,
): Pick<ActionInit, "timeout" | "maxGrpcTimeout" | "grpcTimeoutOffset" | "maxStreamDuration"> {
  const { timeoutMs, maxStreamMs, maxGrpcTimeoutMs, grpcTimeoutOffsetMs } = model;
  if (maxStreamMs === undefined)
    return {
      ...durationUnless("timeout", timeoutMs, TIMEOUT_MS),
      ...durationGiven("maxGrpcTimeout", maxGrpcTimeoutMs),
      ...durationUnless("grpcTimeoutOffset", grpcTimeoutOffsetMs, 0),
    };
  return {
    ...durationUnless("timeout", timeoutMs, 0),
    maxStreamDuration: {
      ...durationGiven("maxStreamDuration", maxStreamMs),
      ...durationGiven("grpcTimeoutHeaderMax", maxGrpcTimeoutMs),
      ...durationUnless("grpcTimeoutHeaderOffset", grpcTimeoutOffsetMs, 0),
    },
  };
}

function checkRewrites(wire: WireAction, scope: Scope): void {
  const all = { prefix_rewrite: wire.prefixRewrite, regex_rewrite: wire.regexRewrite, path_rewrite: wire.pathRewrite };
  const used = Object.entries(all)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([name]) => name);
  if (/%[A-Z_]+[%(]/.test(wire.pathRewrite))
    scope.field("path_rewrite").unsupported("operators are not supported in a path");
  if (used.length > 1) scope.invalid(`only one of ${used.join(", ")} may be set`);
}

export function forwardToWire(model: ForwardAction): WireAction {
  const { hostRewrite, regexRewrite } = model;
  const init: MessageInitShape<typeof RouteActionSchema> = {
    clusterSpecifier: clusterTargetToWire(model.target),
    clusterNotFoundResponseCode:
      NOT_FOUND.find(([, status]) => status === model.clusterNotFoundStatus)?.[0] ?? NotFoundCode.SERVICE_UNAVAILABLE,
    ...timesToWire(model),
    ...durationGiven("idleTimeout", model.idleTimeoutMs),
    ...given(
      "hedgePolicy",
      model.hedgeOnPerTryTimeout === undefined ? undefined : { hedgeOnPerTryTimeout: model.hedgeOnPerTryTimeout },
    ),
    ...given("retryPolicy", model.retry && retryToWire(model.retry)),
    hashPolicy: model.hashPolicy.map(hashPolicyToWire),
    prefixRewrite: model.prefixRewrite ?? "",
    pathRewrite: model.pathRewrite ?? "",
    ...given("regexRewrite", regexRewrite && regexRewriteToWire(regexRewrite)),
    ...(hostRewrite === undefined
      ? {}
      : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: hostRewrite } as const }),
    ...(model.autoHostRewrite
      ? { hostRewriteSpecifier: { case: "autoHostRewrite", value: { value: true } } as const }
      : {}),
    ...hostSourceToWire(model.hostRewriteFrom),
    ...given("metadataMatch", metadataToWire({ [LB_KEY]: model.subset })),
    requestMirrorPolicies: model.mirrors.map((mirror) => ({
      cluster: mirror.cluster,
      runtimeFraction: { defaultValue: fractionToWire(mirror.fraction) },
    })),
    upgradeConfigs: model.upgrades.map((upgrade) => ({ upgradeType: upgrade.name, enabled: upgrade.enabled })),
    priority: model.priority === "high" ? RoutingPriority.HIGH : RoutingPriority.DEFAULT,
    rateLimits: rateLimitsToWire(model.rateLimits),
    ...(model.includeVirtualHostRateLimits === true ? { includeVhRateLimits: true } : {}),
  };
  return create(RouteActionSchema, init);
}

function hostSourceFromWire(
  wire: WireAction["hostRewriteSpecifier"],
  scope: Scope,
): Pick<ForwardAction, "hostRewriteFrom"> {
  if (wire.case === "hostRewriteHeader")
    return wire.value === "" ? {} : { hostRewriteFrom: { kind: "header", name: wire.value.toLowerCase() } };
  if (wire.case !== "hostRewritePathRegex") return {};
  const rewrite = regexRewriteFromWire(wire.value, scope.field("host_rewrite_path_regex"));
  return { hostRewriteFrom: { kind: "path", ...rewrite } };
}

function hostSourceToWire(source: ForwardAction["hostRewriteFrom"]): Pick<ActionInit, "hostRewriteSpecifier"> {
  if (source === undefined) return {};
  return source.kind === "header"
    ? { hostRewriteSpecifier: { case: "hostRewriteHeader", value: source.name } }
    : { hostRewriteSpecifier: { case: "hostRewritePathRegex", value: regexRewriteToWire(source) } };
}

function regexRewriteFromWire(wire: RegexMatchAndSubstitute, scope: Scope): RegexRewrite {
  return {
    pattern: wire.pattern === undefined ? "" : regexFromWire(wire.pattern, scope.field("pattern")),
    substitution: wire.substitution,
  };
}

function regexRewriteToWire({ pattern, substitution }: RegexRewrite): MessageInitShape<typeof RegexRewriteSchema> {
  return { pattern: { regex: pattern }, substitution };
}

export function redirectFromWire(wire: WireRedirect, scope: Scope): RedirectAction {
  const { schemeRewriteSpecifier: scheme, pathRewriteSpecifier: path } = wire;
  const isHttps = scheme.case === "httpsRedirect" && scheme.value;
  const named = scheme.case === "schemeRedirect" && scheme.value !== "" ? scheme.value : undefined;
  return {
    kind: "redirect",
    status: REDIRECTS.find(([code]) => code === wire.responseCode)?.[1] ?? 301,
    scheme: isHttps ? "https" : named,
    host: nonEmpty(wire.hostRedirect),
    port: wire.portRedirect === 0 ? undefined : wire.portRedirect,
    path: redirectPathFromWire(path, scope),
    stripQuery: wire.stripQuery,
  };
}

function redirectPathFromWire(path: WireRedirect["pathRewriteSpecifier"], scope: Scope): RedirectAction["path"] {
  switch (path.case) {
    case "pathRedirect":
      return { kind: "full", value: path.value };
    case "prefixRewrite":
      return { kind: "prefix", value: path.value };
    case "regexRewrite":
      return { kind: "regex", ...regexRewriteFromWire(path.value, scope.field("regex_rewrite")) };
    case undefined:
      return undefined;
  }
}

function redirectPathToWire(path: RedirectAction["path"]): RedirectPathInit {
  if (path === undefined) return { case: undefined };
  switch (path.kind) {
    case "full":
      return { case: "pathRedirect", value: path.value };
    case "prefix":
      return { case: "prefixRewrite", value: path.value };
    case "regex":
      return { case: "regexRewrite", value: regexRewriteToWire(path) };
  }
}

export function redirectToWire(model: RedirectAction): WireRedirect {
  const { path, scheme } = model;
  return create(RedirectActionSchema, {
    responseCode: REDIRECTS.find(([, status]) => status === model.status)?.[0] ?? RedirectCode.MOVED_PERMANENTLY,
    ...(scheme === undefined ? {} : { schemeRewriteSpecifier: { case: "schemeRedirect", value: scheme } as const }),
    hostRedirect: model.host ?? "",
    portRedirect: model.port ?? 0,
    pathRewriteSpecifier: redirectPathToWire(path),
    stripQuery: model.stripQuery,
  });
}

export function directResponseFromWire(wire: WireDirectResponse, scope: Scope): DirectResponseAction {
  const body = wire.body === undefined ? "" : readText(wire.body, scope.field("body"));
  return { kind: "direct", status: wire.status, body };
}

export function directResponseToWire(model: DirectResponseAction): WireDirectResponse {
  return create(DirectResponseActionSchema, {
    status: model.status,
    ...(model.body === "" ? {} : { body: inlineText(model.body) }),
  });
}
