// The CORS filter of HTTPRoute as settings of Envoy's, and the matches that let a browser's question reach them.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { HTTPRouteFilter } from "#config/schema/http-route.ts";
import { filterTypes } from "../filter-types.ts";
import type { FilterSettings, PolicyFilter } from "../policy/policy-filters.ts";
import { escapeRegex } from "./filters.ts";
import { exactHeader, presentHeader, type RankedMatch } from "./match.ts";

type Cors = NonNullable<HTTPRouteFilter["cors"]>;

const policyType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";

/** Of the callers' side alone: one answer must not be marked twice. */
export const corsPolicies: PolicyFilter = {
  name: filterTypes.cors.name,
  settings: { typeUrl: filterTypes.cors.typeUrl, config: {} },
  forPort: () => undefined,
  forRule: (_reader, { direction, rule }) => {
    if (direction === "inbound") return undefined;
    for (const filter of rule.filters ?? [])
      if (filter.type === "CORS" && filter.cors !== undefined) return policyOf(filter.cors);
    return undefined;
  },
};

/**
 * A rule for one method takes the question whether that method may be used too, which browsers ask with OPTIONS. Of the rule's
 * headers it has none.
 */
export function withPreflight(ranked: RankedMatch): readonly RankedMatch[] {
  const { match, rank } = ranked;
  const method = match.headers.find(({ name }) => name === ":method")?.match;
  if (method?.kind !== "string" || method.matcher.value === "OPTIONS") return [ranked];
  const headers = [
    exactHeader(":method", "OPTIONS"),
    exactHeader("access-control-request-method", method.matcher.value),
    presentHeader("origin"),
  ];
  return [ranked, { match: { ...match, headers }, rank }];
}

function policyOf(cors: Cors): FilterSettings {
  const text = (name: string, list: readonly string[] | undefined): { readonly [field: string]: JsonValue } =>
    list === undefined || list.length === 0 ? {} : { [name]: list.join(", ") };
  return {
    typeUrl: policyType,
    config: {
      allowOriginStringMatch: (cors.allowOrigins ?? []).map(originMatcher),
      ...text("allowMethods", cors.allowMethods),
      ...text("allowHeaders", cors.allowHeaders),
      ...text("exposeHeaders", exposed(cors)),
      maxAge: String(cors.maxAge),
      ...(cors.allowCredentials === true ? { allowCredentials: true } : {}),
      // A question that is not allowed is answered all the same, and never a backend's business.
      forwardNotMatchingPreflights: false,
    },
  };
}

/** With credentials browsers take `*` for a name: the Gateway must not say it. */
function exposed({ allowCredentials, exposeHeaders }: Cors): readonly string[] | undefined {
  return allowCredentials === true ? exposeHeaders?.filter((name) => name !== "*") : exposeHeaders;
}

/** Browsers leave out the port that the scheme has by itself; a `*` is any number of labels, or a host. */
function originMatcher(origin: string): JsonValue {
  if (origin === "*") return { exact: "*" };
  const plain = origin.replace(/^(https:.*):443$/, "$1").replace(/^(http:.*):80$/, "$1");
  if (!plain.includes("*")) return { exact: plain, ignoreCase: true };
  const [scheme = "", host = ""] = plain.split("://");
  const pattern = host.split("*").map(escapeRegex).join("[A-Za-z0-9.-]+");
  return { safeRegex: { regex: `(?i)${scheme}://${pattern}` } };
}
