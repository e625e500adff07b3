// HTTP filters in the chain, and what routes say to them, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { FilterConfig, FilterOverride } from "../model/filter-config.ts";
import { pack, readAny, readTypedJson, unpack, writeTypedJson, type TypedJson } from "./any.ts";
import { FilterConfigSchema } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { RouterSchema } from "./gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import {
  HttpFilterSchema,
  type HttpFilter,
} from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { Scope } from "./issues.ts";
import { typeNameOf, typeUrlOf } from "./type-urls.ts";

const ROUTER_TYPE_URL = typeUrlOf(RouterSchema.typeName);
const FILTER_CONFIG_TYPE = FilterConfigSchema.typeName;

/**
 * The chain without its router, which must be there, last and once: Envoy takes a chain without one and then never answers
 * (xDS in practice, 1.7).
 */
export function httpFiltersFromWire(filters: readonly HttpFilter[], scope: Scope): readonly FilterConfig[] {
  const last = filters.length - 1;
  const chain: FilterConfig[] = [];
  for (const [index, filter] of filters.entries()) {
    const at = scope.at(index);
    if (filter.configType.case === "typedConfig" && filter.configType.value.typeUrl === ROUTER_TYPE_URL) {
      unpack(filter.configType.value, [RouterSchema], at.field("typed_config"), filter.name);
      if (index !== last) at.invalid("the router must be the last filter");
      if (filter.disabled) at.field("disabled").invalid("the router cannot be disabled");
      continue;
    }
    if (index === last) at.invalid(`the last filter must be the router: got '${filter.name}'`);
    const read = filterFromWire(filter, at);
    if (read !== undefined) chain.push(read);
  }
  if (filters.length === 0) scope.invalid("the last filter must be the router: there is none");
  return chain;
}

function filterFromWire(filter: HttpFilter, scope: Scope): FilterConfig | undefined {
  if (filter.configType.case === "configDiscovery") return undefined;
  const at = scope.field("typed_config");
  if (filter.configType.case === undefined) {
    at.invalid("must be set");
    return undefined;
  }
  const typed = knownConfig(filter.configType.value, filter.isOptional, filter.name, at);
  if (typed !== undefined) checkConfig(typed, filter.configType.value, at);
  return typed && { name: filter.name, ...typed, disabled: filter.disabled, isOptional: filter.isOptional };
}

/** Lets the filter itself look at its configuration, and reports what it says at the field as it was written. */
function checkConfig(typed: TypedJson, any: Any, scope: Scope): void {
  const fault = scope.options.checkFilter?.(typed);
  if (fault === undefined) return;
  const isStruct = typeNameOf(any.typeUrl) !== typeNameOf(typed.typeUrl);
  // An Envoy message is written with the names of its .proto; a TypedStruct has the configuration below `value`, as it is.
  const path = isStruct ? fault.path : fault.path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const at = isStruct ? scope.field("value") : scope;
  (path === "" ? at : at.field(path)).invalid(fault.message);
}

/** `undefined` for a filter that is not there and need not be, or that was reported. */
function knownConfig(any: Any, isOptional: boolean, name: string, scope: Scope): TypedJson | undefined {
  const typed = readTypedJson(any, scope);
  if (typed === undefined) return undefined;
  const known = scope.options.knownFilters;
  if (known.has(typed.typeUrl) || known.has(typeUrlOf(typeNameOf(typed.typeUrl)))) return typed;
  if (!isOptional) {
    scope.unsupported(`Didn't find a registered implementation for '${name}' with type URL: '${typed.typeUrl}'`);
  }
  return undefined;
}

/** What the router at the chain's end is told. */
export function suppressesEnvoyHeaders(filters: readonly HttpFilter[]): boolean {
  const config = filters.at(-1)?.configType;
  if (config?.case !== "typedConfig" || config.value.typeUrl !== ROUTER_TYPE_URL) return false;
  return readAny(RouterSchema, config.value).suppressEnvoyHeaders;
}

export function httpFiltersToWire(filters: readonly FilterConfig[], suppressEnvoyHeaders: boolean): HttpFilter[] {
  const router = create(HttpFilterSchema, {
    name: "envoy.filters.http.router",
    configType: { case: "typedConfig", value: pack(RouterSchema, create(RouterSchema, { suppressEnvoyHeaders })) },
  });
  return [...filters.map(filterToWire), router];
}

function filterToWire(filter: FilterConfig): HttpFilter {
  return create(HttpFilterSchema, {
    name: filter.name,
    configType: { case: "typedConfig", value: writeTypedJson(filter) },
    disabled: filter.disabled,
    isOptional: filter.isOptional,
  });
}

/** `typed_per_filter_config`: bare messages, or each in a `FilterConfig` that can also turn its filter on and off. */
export function overridesFromWire(
  configs: { readonly [filter: string]: Any },
  scope: Scope,
): readonly FilterOverride[] {
  return Object.keys(configs)
    .sort()
    .flatMap((filter) => {
      const any = configs[filter];
      return any === undefined ? [] : (overrideFromWire(filter, any, scope.key(filter)) ?? []);
    });
}

function overrideFromWire(filter: string, any: Any, scope: Scope): FilterOverride | undefined {
  if (typeNameOf(any.typeUrl) !== FILTER_CONFIG_TYPE) {
    const typed = knownConfig(any, false, filter, scope);
    return typed && { filter, ...typed, disabled: false };
  }
  const wrapper = unpack(any, [FilterConfigSchema], scope, filter);
  if (wrapper === undefined) return undefined;
  const { config, disabled } = wrapper;
  if (config === undefined) return { filter, typeUrl: "", config: null, disabled };
  const typed = knownConfig(config, wrapper.isOptional, filter, scope.field("config"));
  return typed && { filter, ...typed, disabled };
}

/** Always in a `FilterConfig` that is optional, so that an Envoy without the filter lets the route be. */
export function overridesToWire(overrides: readonly FilterOverride[]): { [filter: string]: Any } {
  return Object.fromEntries(
    overrides.map((override) => {
      const config = override.typeUrl === "" ? {} : { config: writeTypedJson(override) };
      const wrapper = create(FilterConfigSchema, { ...config, disabled: override.disabled, isOptional: true });
      return [override.filter, pack(FilterConfigSchema, wrapper)];
    }),
  );
}
