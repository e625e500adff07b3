// Header changes and what else tables, hosts, routes and weighted clusters all say, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HeaderMutations, HeaderValue, RouteScope } from "../model/route.ts";
import {
  HeaderValueOptionSchema,
  HeaderValueOption_HeaderAppendAction as Action,
  type HeaderValueOption,
} from "./gen/envoy/config/core/v3/base_pb.ts";
import { overridesFromWire, overridesToWire } from "./http-filter.ts";
import type { Scope } from "./issues.ts";

/** The fields that four messages have in common. */
interface WireScope {
  readonly requestHeadersToAdd: readonly HeaderValueOption[];
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly HeaderValueOption[];
  readonly responseHeadersToRemove: readonly string[];
  readonly typedPerFilterConfig: { readonly [filter: string]: Any };
}

/** Every part a fresh list, as messages own theirs. */
interface WireScopeInit {
  requestHeadersToAdd: HeaderValueOption[];
  requestHeadersToRemove: string[];
  responseHeadersToAdd: HeaderValueOption[];
  responseHeadersToRemove: string[];
  typedPerFilterConfig: { [filter: string]: Any };
}

export function routeScopeFromWire(wire: WireScope, scope: Scope): RouteScope {
  const { requestHeadersToAdd: onRequest, responseHeadersToAdd: onResponse } = wire;
  return {
    requestHeaders: mutationsFromWire(
      onRequest,
      removedFromWire(wire.requestHeadersToRemove, scope.field("request_headers_to_remove")),
      scope.field("request_headers_to_add"),
    ),
    responseHeaders: mutationsFromWire(
      onResponse,
      removedFromWire(wire.responseHeadersToRemove, scope.field("response_headers_to_remove")),
      scope.field("response_headers_to_add"),
    ),
    filterOverrides: overridesFromWire(wire.typedPerFilterConfig, scope.field("typed_per_filter_config")),
  };
}

export function routeScopeToWire(model: RouteScope): WireScopeInit {
  return {
    requestHeadersToAdd: additionsToWire(model.requestHeaders),
    requestHeadersToRemove: [...model.requestHeaders.remove],
    responseHeadersToAdd: additionsToWire(model.responseHeaders),
    responseHeadersToRemove: [...model.responseHeaders.remove],
    typedPerFilterConfig: overridesToWire(model.filterOverrides),
  };
}

/** Without its routing no request can be sent on, and without a status no answer; Envoy refuses the same. */
function removedFromWire(names: readonly string[], scope: Scope): readonly string[] {
  for (const [index, name] of names.entries())
    if (name.startsWith(":") || name.toLowerCase() === "host")
      scope.at(index).invalid(`:-prefixed or host headers may not be removed: got "${name}"`);
  return names;
}

function mutationsFromWire(
  options: readonly HeaderValueOption[],
  remove: readonly string[],
  scope: Scope,
): HeaderMutations {
  const set: HeaderValue[] = [];
  const add: HeaderValue[] = [];
  const addIfAbsent: HeaderValue[] = [];
  for (const [index, option] of options.entries()) {
    const { header } = option;
    if (header === undefined) continue;
    const value = { name: header.key.toLowerCase(), value: header.value };
    const at = scope.at(index);
    // RFC 9110 §7.2 and Envoy: these are the request's routing, changed by rewrites only.
    if (header.key.startsWith(":") || header.key.toLowerCase() === "host") {
      at.field("header").field("key").invalid(`:-prefixed or host headers may not be modified: got "${header.key}"`);
    }
    switch (actionOf(option, at)) {
      case Action.APPEND_IF_EXISTS_OR_ADD:
        add.push(value);
        break;
      case Action.ADD_IF_ABSENT:
        addIfAbsent.push(value);
        break;
      case Action.OVERWRITE_IF_EXISTS_OR_ADD:
        set.push(value);
        break;
      case Action.OVERWRITE_IF_EXISTS:
        at.field("append_action").unsupported("OVERWRITE_IF_EXISTS is not supported");
        break;
    }
  }
  return { set, add, addIfAbsent, remove: remove.map((name) => name.toLowerCase()) };
}

/** The older `append: false` is the newer OVERWRITE_IF_EXISTS_OR_ADD. */
function actionOf(option: HeaderValueOption, scope: Scope): Action {
  if (option.append === undefined) return option.appendAction;
  if (option.appendAction !== Action.APPEND_IF_EXISTS_OR_ADD)
    scope.field("append").invalid("both append and append_action are set");
  return option.append ? Action.APPEND_IF_EXISTS_OR_ADD : Action.OVERWRITE_IF_EXISTS_OR_ADD;
}

function additionsToWire(model: HeaderMutations): HeaderValueOption[] {
  return [
    ...model.set.map((header) => optionToWire(header, Action.OVERWRITE_IF_EXISTS_OR_ADD)),
    ...model.add.map((header) => optionToWire(header, Action.APPEND_IF_EXISTS_OR_ADD)),
    ...model.addIfAbsent.map((header) => optionToWire(header, Action.ADD_IF_ABSENT)),
  ];
}

function optionToWire(header: HeaderValue, appendAction: Action): HeaderValueOption {
  return create(HeaderValueOptionSchema, { header: { key: header.name, value: header.value }, appendAction });
}
