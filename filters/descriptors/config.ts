// Envoy's `config.route.v3.RateLimit`: what is told of a request to a rate limit, in canonical protobuf JSON, of filters and routes.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { HeaderMatcher, QueryMatcher } from "#config/model/matcher.ts";

import { readHeaderMatcher, readQueryMatcher } from "../matcher-config.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";

/** One entry of a descriptor. Where it has no value, the whole descriptor is not made, but for those with `skipIfAbsent`. */
export type DescriptorAction =
  | { readonly kind: "genericKey"; readonly key: string; readonly value: string }
  | { readonly kind: "destinationCluster" | "sourceCluster" | "remoteAddress" }
  /** Not Envoy's: the request's tenant, and the identity of the verified peer. */
  | { readonly kind: "tenant" | "identity"; readonly key: string }
  | { readonly kind: "maskedRemoteAddress"; readonly ipv4Bits: number; readonly ipv6Bits: number }
  | {
      readonly kind: "requestHeaders" | "queryParameters";
      readonly name: string;
      readonly key: string;
      readonly skipIfAbsent: boolean;
    }
  | {
      readonly kind: "headerValueMatch";
      readonly key: string;
      readonly value: string;
      readonly expect: boolean;
      readonly headers: readonly HeaderMatcher[];
    }
  | {
      readonly kind: "queryParameterValueMatch";
      readonly key: string;
      readonly value: string;
      readonly expect: boolean;
      readonly parameters: readonly QueryMatcher[];
    };

export interface RateLimitRule {
  readonly stage: number;
  readonly disableKey: string;
  readonly actions: readonly DescriptorAction[];
  /** What a request counts for. */
  readonly hits: number | undefined;
}

/** What holds of the virtual host's where the route has limits of its own. */
export type VirtualHostLimits = "OVERRIDE" | "INCLUDE" | "IGNORE";

const MAX_HITS = 1_000_000_000;

/** A list of `RateLimit` under this name. In a filter's own message `stage` and `disable_key` have no meaning, as in Envoy. */
export function readRateLimitRules(
  reader: ConfigReader,
  name: string,
  owner: "filter" | "route",
): readonly RateLimitRule[] {
  return reader.objects(name).map((rule) => readRule(rule, owner));
}

/** Those of a route or a virtual host. Throws a `FilterConfigError`. */
export function parseRateLimitRules(rules: readonly JsonValue[]): readonly RateLimitRule[] {
  return readRateLimitRules(new ConfigReader({ rateLimits: rules }, ""), "rateLimits", "route");
}

export function readVirtualHostLimits(reader: ConfigReader, name: string): VirtualHostLimits {
  return reader.oneOf(name, ["OVERRIDE", "INCLUDE", "IGNORE"], "OVERRIDE");
}

function readRule(reader: ConfigReader, owner: "filter" | "route"): RateLimitRule {
  const hits = reader.object("hitsAddend");
  const rule = {
    stage: owner === "route" ? reader.number("stage", 0, 0, 10) : 0,
    disableKey: owner === "route" ? reader.string("disableKey", "") : "",
    actions: reader.objects("actions").map(readAction),
    hits: hits?.number("number", undefined, 0, MAX_HITS),
  };
  hits?.done();
  if (rule.actions.length === 0) throw new FilterConfigError(reader.pathOf("actions"), "at least one action", []);
  reader.done();
  return rule;
}

const ACTIONS = [
  "genericKey",
  "requestHeaders",
  "remoteAddress",
  "maskedRemoteAddress",
  "destinationCluster",
  "sourceCluster",
  "queryParameters",
  "headerValueMatch",
  "queryParameterValueMatch",
  "tenant",
  "identity",
] as const;

function readAction(reader: ConfigReader): DescriptorAction {
  const kind = ACTIONS.find((name) => reader.value(name) !== undefined);
  const fields = kind === undefined ? undefined : reader.object(kind);
  reader.done();
  if (kind === undefined || fields === undefined)
    throw new FilterConfigError(reader.pathOf("actions"), `one of ${ACTIONS.join(", ")}`, undefined);
  const action = readFields(kind, fields);
  fields.done();
  return action;
}

function readFields(kind: (typeof ACTIONS)[number], fields: ConfigReader): DescriptorAction {
  switch (kind) {
    case "genericKey":
      return { kind, key: keyOf(fields, "generic_key"), value: fields.string("descriptorValue", "") };
    case "tenant":
    case "identity":
      return { kind, key: keyOf(fields, kind) };
    case "requestHeaders":
      return {
        kind,
        name: fields.string("headerName").toLowerCase(),
        key: fields.string("descriptorKey"),
        skipIfAbsent: fields.boolean("skipIfAbsent", false),
      };
    case "queryParameters":
      return {
        kind,
        name: fields.string("queryParameterName"),
        key: fields.string("descriptorKey"),
        skipIfAbsent: fields.boolean("skipIfAbsent", false),
      };
    case "maskedRemoteAddress":
      return {
        kind,
        ipv4Bits: fields.number("v4PrefixMaskLen", 32, 0, 32),
        ipv6Bits: fields.number("v6PrefixMaskLen", 128, 0, 128),
      };
    case "headerValueMatch":
      return {
        kind,
        key: keyOf(fields, "header_match"),
        value: fields.string("descriptorValue", ""),
        expect: fields.boolean("expectMatch", true),
        headers: fields.objects("headers").map(readHeaderMatcher),
      };
    case "queryParameterValueMatch":
      return {
        kind,
        key: keyOf(fields, "query_match"),
        value: fields.string("descriptorValue", ""),
        expect: fields.boolean("expectMatch", true),
        parameters: fields.objects("queryParameters").map(readQueryMatcher),
      };
    case "sourceCluster":
    case "destinationCluster":
    case "remoteAddress":
      return { kind };
  }
}

function keyOf(fields: ConfigReader, fallback: string): string {
  const key = fields.string("descriptorKey", "");
  return key === "" ? fallback : key;
}
