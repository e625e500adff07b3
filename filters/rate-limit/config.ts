// Envoy's global rate limit, in protobuf JSON: of the filter, and of a route. What has no meaning here is refused by its path.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Fraction } from "#config/model/matcher.ts";

import { readRateLimitRules, type RateLimitRule, type VirtualHostLimits } from "../descriptors/config.ts";
import { readHeaderAddition, type HeaderAddition } from "../header-additions.ts";
import { readStatus } from "../http-status.ts";
import { readShare } from "../matcher-config.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";

export const RATE_LIMIT = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit";
export const RATE_LIMIT_PER_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute";

/** The same with actions that Envoy does not have: `tenant` and `identity`. */
export const HEDDLE_GLOBAL_RATE_LIMIT = "type.googleapis.com/heddle.filters.global_rate_limit.v1.RateLimit";
export const HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE =
  "type.googleapis.com/heddle.filters.global_rate_limit.v1.RateLimitPerRoute";

export interface GlobalRateLimit {
  readonly kind: "filter";
  /** "" = there is no service to ask: the filter does nothing. */
  readonly cluster: string;
  readonly authority: string;
  readonly domain: string;
  readonly stage: number;
  readonly requestType: "internal" | "external" | "both";
  readonly timeoutMs: number;
  /** Of the requests that the service could not be asked about, those that are refused. */
  readonly denied: Fraction;
  readonly statusOnError: number;
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly hasHeaders: boolean;
  readonly saysLimited: boolean;
  readonly responseHeaders: readonly HeaderAddition[];
  readonly enabled: Fraction;
  readonly enforced: Fraction;
  readonly rateLimits: readonly RateLimitRule[] | undefined;
}

/** How clients are told of a limit. */
export interface LimitManner {
  readonly grpcStatus: number | undefined;
  readonly hasHeaders: boolean;
}

export interface RouteRateLimit {
  readonly kind: "route";
  /** undefined: the filter's, always so in Envoy's message. */
  readonly manner: LimitManner | undefined;
  /** "": the filter's. */
  readonly domain: string;
  readonly virtualHostLimits: VirtualHostLimits;
  readonly rateLimits: readonly RateLimitRule[] | undefined;
}

export type RateLimitSettings = GlobalRateLimit | RouteRateLimit;

const RESOURCE_EXHAUSTED = 8;
const ALL: Fraction = { numerator: 100, denominator: 100 };
const NONE: Fraction = { numerator: 0, denominator: 100 };

export function parseRateLimitSettings(value: JsonValue, typeUrl: string): RateLimitSettings {
  const reader = new ConfigReader(value, "");
  const settings =
    typeUrl === RATE_LIMIT_PER_ROUTE || typeUrl === HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE
      ? readRoute(reader, typeUrl === HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE)
      : readFilter(reader);
  reader.done();
  return settings;
}

function readFilter(reader: ConfigReader): GlobalRateLimit {
  reader.string("statPrefix", "");
  const denies = reader.boolean("failureModeDeny", false);
  return {
    kind: "filter",
    ...readService(reader.object("rateLimitService")),
    domain: reader.string("domain"),
    stage: reader.number("stage", 0, 0, 10),
    requestType: readRequestType(reader),
    timeoutMs: reader.durationMs("timeout", 20),
    denied: readShare(reader, "failureModeDenyPercent") ?? (denies ? ALL : NONE),
    statusOnError: readStatus(reader, "statusOnError", 500),
    status: readStatus(reader, "rateLimitedStatus", 429),
    ...readManner(reader),
    saysLimited: !reader.boolean("disableXEnvoyRatelimitedHeader", false),
    responseHeaders: reader.objects("responseHeadersToAdd").map(readHeaderAddition),
    enabled: readShare(reader, "filterEnabled") ?? ALL,
    enforced: readShare(reader, "filterEnforced") ?? ALL,
    rateLimits: readOwnRules(reader),
  };
}

function readRoute(reader: ConfigReader, isOurs: boolean): RouteRateLimit {
  const older = reader.oneOf("vhRateLimits", ["OVERRIDE", "INCLUDE", "IGNORE"], "OVERRIDE");
  const newer = reader.oneOf(
    "overrideOption",
    ["DEFAULT", "OVERRIDE_POLICY", "INCLUDE_POLICY", "IGNORE_POLICY"],
    "DEFAULT",
  );
  const options = {
    DEFAULT: older,
    OVERRIDE_POLICY: "OVERRIDE",
    INCLUDE_POLICY: "INCLUDE",
    IGNORE_POLICY: "IGNORE",
  } as const;
  return {
    kind: "route",
    manner: isOurs && reader.value("enableXRatelimitHeaders") !== undefined ? readManner(reader) : undefined,
    domain: reader.string("domain", ""),
    virtualHostLimits: options[newer],
    rateLimits: readOwnRules(reader),
  };
}

function readManner(reader: ConfigReader): LimitManner {
  return {
    grpcStatus: reader.boolean("rateLimitedAsResourceExhausted", false) ? RESOURCE_EXHAUSTED : undefined,
    hasHeaders: reader.oneOf("enableXRatelimitHeaders", ["OFF", "DRAFT_VERSION_03"], "OFF") === "DRAFT_VERSION_03",
  };
}

function readOwnRules(reader: ConfigReader): readonly RateLimitRule[] | undefined {
  const rules = readRateLimitRules(reader, "rateLimits", "filter");
  return rules.length === 0 ? undefined : rules;
}

function readRequestType(reader: ConfigReader): GlobalRateLimit["requestType"] {
  // "" is the message's default, and both.
  const type = reader.oneOf("requestType", ["internal", "external", "both", ""], "both");
  return type === "" ? "both" : type;
}

/** `config.ratelimit.v3.RateLimitServiceConfig`: a gRPC service of a cluster. */
function readService(reader: ConfigReader | undefined): { readonly cluster: string; readonly authority: string } {
  if (reader === undefined) throw new FilterConfigError("rateLimitService", "set", undefined);
  const version = reader.oneOf("transportApiVersion", ["AUTO", "V3"], "AUTO");
  if (version !== "V3") throw new FilterConfigError(reader.pathOf("transportApiVersion"), "V3", version);
  const service = reader.object("grpcService");
  const envoy = service?.object("envoyGrpc");
  const cluster = envoy?.string("clusterName");
  const authority = envoy?.string("authority", "") ?? "";
  if (cluster === undefined || cluster === "")
    throw new FilterConfigError(reader.pathOf("grpcService.envoyGrpc.clusterName"), "the name of a cluster", cluster);
  // The filter's own timeout holds, as in Envoy.
  service?.value("timeout");
  envoy?.done();
  service?.done();
  reader.done();
  return { cluster, authority: authority === "" ? cluster : authority };
}
