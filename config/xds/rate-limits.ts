// What routes and virtual hosts tell of requests to rate limits, message <-> canonical JSON, which is what the filters read.
import type { JsonValue as ProtoJsonValue } from "@bufbuild/protobuf";
import { fromJson } from "@bufbuild/protobuf";
import type { JsonValue } from "../model/filter-config.ts";
import { writeJson } from "../protobuf/json.ts";
import { registry } from "./any.ts";
import { RateLimitSchema, type RateLimit } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import type { Scope } from "./issues.ts";
import { headerMatcherFromWire, queryMatcherFromWire } from "./matcher.ts";

/** Nothing where there are none: nearly all routes. */
export function rateLimitsFromWire(
  wire: readonly RateLimit[],
  scope: Scope,
): { readonly rateLimits?: readonly JsonValue[] } {
  if (wire.length === 0) return {};
  for (const [index, rule] of wire.entries()) checkMatchers(rule, scope.at(index).field("actions"));
  return { rateLimits: wire.map((rule) => writeJson(RateLimitSchema, rule, registry)) };
}

/** Regular expressions that do not compile are reported where they stand. */
function checkMatchers(rule: RateLimit, scope: Scope): void {
  for (const [index, { actionSpecifier }] of rule.actions.entries()) {
    const at = scope.at(index);
    if (actionSpecifier.case === "headerValueMatch") {
      const headers = at.field("header_value_match").field("headers");
      for (const [place, header] of actionSpecifier.value.headers.entries())
        headerMatcherFromWire(header, headers.at(place));
    } else if (actionSpecifier.case === "queryParameterValueMatch") {
      const parameters = at.field("query_parameter_value_match").field("query_parameters");
      for (const [place, parameter] of actionSpecifier.value.queryParameters.entries())
        queryMatcherFromWire(parameter, parameters.at(place));
    }
  }
}

export function rateLimitsToWire(model: readonly JsonValue[] | undefined): RateLimit[] {
  // as: protobuf-es only reads the value
  return (model ?? []).map((rule) => fromJson(RateLimitSchema, rule as ProtoJsonValue));
}
