// Session persistence of a rule (GEP-1619) as settings of Envoy's stateful_session filter, or of ours where Envoy's lacks a word.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { HTTPRouteRule } from "#config/schema/http-route.ts";
import { hashString } from "#lib/hash.ts";
import { filterTypes } from "../filter-types.ts";
import type { FilterSettings, PolicyFilter, PolicyRule } from "../policy/policy-filters.ts";

const perRouteType = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
const cookieType = "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
const headerType = "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";
const oursType = "type.googleapis.com/heddle.filters.stateful_session.v1.StatefulSession";

/** Of the callers' side alone, where the endpoint is chosen. */
export const sessionPolicies: PolicyFilter = {
  name: filterTypes.session.name,
  settings: { typeUrl: filterTypes.session.typeUrl, config: {} },
  forPort: () => undefined,
  forRule: (_reader, target) => (target.direction === "inbound" ? undefined : settingsOf(target)),
};

function settingsOf(target: PolicyRule): FilterSettings | undefined {
  const { rule, dialect } = target;
  const session = rule.sessionPersistence;
  if (session === undefined) return undefined;
  const name = session.sessionName ?? defaultName(target);
  const timeoutMs = session.absoluteTimeout === undefined ? 0 : durationMs(session.absoluteTimeout);
  const timeout = `${timeoutMs / 1000}s`;
  const isPermanent = session.cookieConfig?.lifetimeType === "Permanent";
  const path = cookiePath(rule);
  // Envoy's cookie ends with the browser's session or after a time, not by both; its header never ends.
  if (timeoutMs > 0 && dialect !== "envoy" && (session.type === "Header" || !isPermanent)) {
    const carrier = session.type === "Header" ? { header: name } : { cookie: { name, path } };
    return { typeUrl: oursType, config: { ...carrier, absoluteTimeout: timeout } };
  }
  const ttl = timeoutMs > 0 ? { ttl: timeout } : {};
  const typedConfig: JsonValue =
    session.type === "Header" ? { "@type": headerType, name } : { "@type": cookieType, cookie: { name, ...ttl, path } };
  const kind = session.type === "Header" ? "header" : "cookie";
  const sessionState = { name: `envoy.http.stateful_session.${kind}`, typedConfig };
  return { typeUrl: perRouteType, config: { statefulSession: { sessionState } } };
}

/** The same for all callers, and another for each rule. */
function defaultName({ route, rule }: PolicyRule): string {
  const { namespace, name } = route.metadata;
  const which = rule.name ?? JSON.stringify(rule.matches ?? []);
  return `heddle-session-${hashString(`${route.kind} ${namespace}/${name} ${which}`).toString(16).padStart(8, "0")}`;
}

/** What all paths of the rule lie below; `/` where one may be any. */
function cookiePath(rule: PolicyRule["rule"]): string {
  const matches = (rule.matches ?? []) as readonly Partial<HTTPRouteRule["matches"][number]>[]; // as: those of gRPC have no path
  const paths = matches.map(({ path }) =>
    path === undefined || path.type === "RegularExpression" ? [] : path.value.split("/").filter((part) => part !== ""),
  );
  const [first = [], ...others] = paths;
  const end = first.findIndex((part, at) => others.some((other) => other[at] !== part));
  return `/${first.slice(0, end < 0 ? first.length : end).join("/")}`;
}
