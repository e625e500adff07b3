// Envoy's CorsPolicy: who may call from another origin, and what browsers are told of it.
import type { Fraction } from "#config/model/matcher.ts";
import type { JsonValue } from "#config/model/filter-config.ts";
import { compileString, type StringTest } from "#config/model/string-test.ts";

import type { RouteOverride } from "../filter.ts";
import { readShare, readStringMatcher } from "../matcher-config.ts";
import { ConfigReader } from "../parse.ts";

/** In the chain, where it says nothing. */
export const CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
/** Of tables, virtual hosts, routes and weighted clusters. */
export const CORS_POLICY = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";

/** Undefined and "": not said, so that what is less specific may say it (route, then virtual host, then table). */
export interface CorsPolicy {
  readonly origins: readonly StringTest[];
  readonly methods: string;
  readonly headers: string;
  readonly exposed: string;
  readonly maxAge: string;
  readonly credentials: boolean | undefined;
  readonly privateNetwork: boolean | undefined;
  readonly forwardsOthers: boolean | undefined;
  /** Undefined = all requests. Of the most specific policy alone, as in Envoy. */
  readonly enabled: Fraction | undefined;
  readonly shadow: Fraction | undefined;
}

export function parseCors(value: JsonValue, typeUrl: string): CorsPolicy {
  const reader = new ConfigReader(value, "");
  if (typeUrl === CORS) {
    reader.done();
    return NOTHING;
  }
  const policy: CorsPolicy = {
    origins: reader.objects("allowOriginStringMatch").map((origin) => compileOrigin(origin)),
    methods: reader.string("allowMethods", ""),
    headers: reader.string("allowHeaders", ""),
    exposed: reader.string("exposeHeaders", ""),
    maxAge: reader.string("maxAge", ""),
    credentials: optionalFlag(reader, "allowCredentials"),
    privateNetwork: optionalFlag(reader, "allowPrivateNetworkAccess"),
    forwardsOthers: optionalFlag(reader, "forwardNotMatchingPreflights"),
    enabled: readShare(reader, "filterEnabled"),
    shadow: readShare(reader, "shadowEnabled"),
  };
  reader.done();
  return policy;
}

/** A matcher that takes the text `*` takes every origin. */
function compileOrigin(reader: ConfigReader): StringTest {
  const test = compileString(readStringMatcher(reader));
  return test("*") ? () => true : test;
}

function optionalFlag(reader: ConfigReader, name: string): boolean | undefined {
  return reader.value(name) === undefined ? undefined : reader.boolean(name, false);
}

/** What the more specific policy leaves open is the other's. */
export function inheritCors(own: RouteOverride, from: RouteOverride): RouteOverride {
  if (own.isDisabled || from.isDisabled) return own;
  const specific = own.config as CorsPolicy; // as: `parseCors` made both
  const general = from.config as CorsPolicy;
  return {
    isDisabled: false,
    config: {
      origins: specific.origins.length > 0 ? specific.origins : general.origins,
      methods: specific.methods || general.methods,
      headers: specific.headers || general.headers,
      exposed: specific.exposed || general.exposed,
      maxAge: specific.maxAge || general.maxAge,
      credentials: specific.credentials ?? general.credentials,
      privateNetwork: specific.privateNetwork ?? general.privateNetwork,
      forwardsOthers: specific.forwardsOthers ?? general.forwardsOthers,
      enabled: specific.enabled,
      shadow: specific.shadow,
    } satisfies CorsPolicy,
  };
}

const NOTHING: CorsPolicy = {
  origins: [],
  methods: "",
  headers: "",
  exposed: "",
  maxAge: "",
  credentials: undefined,
  privateNetwork: undefined,
  forwardsOthers: undefined,
  enabled: undefined,
  shadow: undefined,
};
