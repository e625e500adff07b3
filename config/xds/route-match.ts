// RouteMatch: which requests a route is for, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { RouteMatch } from "../model/route.ts";
import { given, unless } from "./fields.ts";
import { RouteMatchSchema, type RouteMatch as WireMatch } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import type { Scope } from "./issues.ts";
import {
  fractionToWire,
  headerMatcherFromWire,
  headerMatcherToWire,
  queryMatcherFromWire,
  queryMatcherToWire,
  regexFromWire,
  runtimeFractionFromWire,
} from "./matcher.ts";

type PathInit = NonNullable<MessageInitShape<typeof RouteMatchSchema>["pathSpecifier"]>;

export function matchFromWire(wire: WireMatch, scope: Scope): RouteMatch {
  return {
    path: pathFromWire(wire.pathSpecifier, scope),
    caseSensitive: wire.caseSensitive ?? true,
    headers: wire.headers.map((item, index) => headerMatcherFromWire(item, scope.field("headers").at(index))),
    query: wire.queryParameters.map((item, index) =>
      queryMatcherFromWire(item, scope.field("query_parameters").at(index)),
    ),
    grpcOnly: wire.grpc !== undefined,
    runtimeFraction: runtimeFractionFromWire(wire.runtimeFraction),
  };
}

function pathFromWire(path: WireMatch["pathSpecifier"], scope: Scope): RouteMatch["path"] {
  switch (path.case) {
    case "prefix":
    case "path":
      return { kind: path.case, value: path.value };
    case "pathSeparatedPrefix":
      if (!/^[^?#]+[^?#/]$/.test(path.value)) {
        scope.field("path_separated_prefix").invalid(`must not end with / nor hold ? or #: got "${path.value}"`);
      }
      return { kind: "pathSeparatedPrefix", value: path.value };
    case "safeRegex":
      return { kind: "regex", value: regexFromWire(path.value, scope.field("safe_regex")) };
    case "connectMatcher":
      return { kind: "connect" };
    case "pathMatchPolicy":
    case undefined:
      // Reported already.
      return { kind: "prefix", value: "/" };
  }
}

export function matchToWire(model: RouteMatch): WireMatch {
  const { runtimeFraction } = model;
  return create(RouteMatchSchema, {
    pathSpecifier: pathToWire(model.path),
    ...unless("caseSensitive", model.caseSensitive, true),
    headers: model.headers.map(headerMatcherToWire),
    queryParameters: model.query.map(queryMatcherToWire),
    ...(model.grpcOnly ? { grpc: {} } : {}),
    ...given("runtimeFraction", runtimeFraction && { defaultValue: fractionToWire(runtimeFraction) }),
  });
}

function pathToWire(model: RouteMatch["path"]): PathInit {
  switch (model.kind) {
    case "prefix":
    case "path":
    case "pathSeparatedPrefix":
      return { case: model.kind, value: model.value };
    case "regex":
      return { case: "safeRegex", value: { regex: model.value } };
    case "connect":
      return { case: "connectMatcher", value: {} };
  }
}
