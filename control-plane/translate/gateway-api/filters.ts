// Filters of a rule or of one backend: header changes, rewrite, redirect, mirror. What Heddle cannot do must not be skipped.
import type { GRPCRouteFilter } from "#config/schema/grpc-route.ts";
import type { HTTPRouteFilter } from "#config/schema/http-route.ts";
import type { ForwardAction, HeaderMutations, RedirectAction, RegexRewrite, RouteMatch } from "#config/model/route.ts";
import { noHeaders } from "../defaults.ts";
import type { Scope } from "../scope.ts";
import { firstOfName } from "./match.ts";
import { resolveBackend, type BackendObject, type ParentContext } from "./backends.ts";

type Rewrites = Pick<ForwardAction, "prefixRewrite" | "pathRewrite" | "regexRewrite" | "hostRewrite">;

export interface RuleFilters {
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
  readonly rewrites: Rewrites;
  readonly mirrors: ForwardAction["mirrors"];
  readonly redirect: RedirectAction | undefined;
  /** A filter that cannot be applied: its requests must be answered with an error (Gateway API, HTTPRouteFilter). */
  readonly unsupported: string | undefined;
}

type HeaderModifier = NonNullable<HTTPRouteFilter["requestHeaderModifier"]>;
type PathModifier = NonNullable<NonNullable<HTTPRouteFilter["urlRewrite"]>["path"]>;

/** `match` is what the rule's prefix replacement starts from. */
export function ruleFilters(
  scope: Scope,
  filters: readonly AnyFilter[],
  parent: ParentContext,
  match: RouteMatch,
): RuleFilters {
  let requestHeaders = noHeaders;
  let responseHeaders = noHeaders;
  let rewrites: Rewrites = {
    prefixRewrite: undefined,
    pathRewrite: undefined,
    regexRewrite: undefined,
    hostRewrite: undefined,
  };
  let redirect: RedirectAction | undefined;
  const mirrors: ForwardAction["mirrors"][number][] = [];
  for (const filter of filters) {
    switch (filter.type) {
      case "RequestHeaderModifier":
        requestHeaders = headerMutations(filter.requestHeaderModifier);
        break;
      case "ResponseHeaderModifier":
        responseHeaders = headerMutations(filter.responseHeaderModifier);
        break;
      case "RequestMirror": {
        const mirror = filter.requestMirror;
        const cluster = mirror === undefined ? undefined : mirrorCluster(scope, mirror.backendRef, parent);
        if (mirror !== undefined && cluster !== undefined) mirrors.push({ cluster, fraction: mirrorShare(mirror) });
        break;
      }
      case "RequestRedirect":
        redirect = redirectAction(filter.requestRedirect, match);
        break;
      case "URLRewrite":
        rewrites = { ...pathRewrites(scope, filter.urlRewrite?.path, match), hostRewrite: filter.urlRewrite?.hostname };
        break;
      // A filter of the chain does it (cors.ts).
      case "CORS":
      case "ExtensionRef":
      case "ExternalAuth":
        break;
    }
  }
  return { requestHeaders, responseHeaders, rewrites, mirrors, redirect, unsupported: unsupportedFilter(filters) };
}

export type AnyFilter = HTTPRouteFilter | GRPCRouteFilter;

/** The first filter of a rule, or of one of its backends, that cannot be applied. */
export function unsupportedFilter(filters: readonly AnyFilter[] | undefined): AnyFilter["type"] | undefined {
  return filters?.map(({ type }) => type).find((type) => unsupportedTypes.has(type));
}

const unsupportedTypes: ReadonlySet<string> = new Set(["ExtensionRef", "ExternalAuth"]);

/** Values are text for users, not formats: `%` stands for itself. */
export function headerMutations(modifier: HeaderModifier | undefined): HeaderMutations {
  const values = (list: HeaderModifier["set"]) =>
    firstOfName(list).map(({ name, value }) => ({ name: name.toLowerCase(), value: value.replaceAll("%", "%%") }));
  return {
    set: values(modifier?.set),
    add: values(modifier?.add),
    addIfAbsent: [],
    remove: (modifier?.remove ?? []).map((name) => name.toLowerCase()),
  };
}

function mirrorCluster(scope: Scope, ref: BackendObject, parent: ParentContext): string | undefined {
  const resolved = resolveBackend(scope, ref, parent, true);
  return resolved.kind === "backend" ? resolved.backend.cluster : undefined;
}

function mirrorShare(
  mirror: NonNullable<HTTPRouteFilter["requestMirror"]>,
): ForwardAction["mirrors"][number]["fraction"] {
  const { percent, fraction } = mirror;
  if (percent !== undefined) return { numerator: percent, denominator: 100 };
  if (fraction === undefined) return { numerator: 100, denominator: 100 };
  // xDS knows three denominators; a millionth is exact enough.
  return { numerator: Math.round((fraction.numerator / fraction.denominator) * 1_000_000), denominator: 1_000_000 };
}

function pathRewrites(scope: Scope, path: PathModifier | undefined, match: RouteMatch): Omit<Rewrites, "hostRewrite"> {
  const none = { prefixRewrite: undefined, pathRewrite: undefined, regexRewrite: undefined };
  if (path === undefined) return none;
  if (path.type === "ReplaceFullPath") {
    const full = path.replaceFullPath ?? "/";
    // Envoy takes it for a format, in which `%` stands for itself only when it is doubled.
    return { ...none, pathRewrite: scope.dialect === "heddle" ? full : full.replaceAll("%", "%%") };
  }
  const replacement = (path.replacePrefixMatch ?? "").replace(/\/+$/, "");
  if (match.path.kind === "pathSeparatedPrefix") {
    if (replacement !== "") return { ...none, prefixRewrite: replacement };
    return { ...none, regexRewrite: withoutPrefix(match.path.value) };
  }
  return { ...none, prefixRewrite: `${replacement}/` };
}

function redirectAction(redirect: HTTPRouteFilter["requestRedirect"], match: RouteMatch): RedirectAction {
  const path = redirect?.path;
  return {
    kind: "redirect",
    status: redirect?.statusCode ?? 302,
    scheme: redirect?.scheme,
    host: redirect?.hostname,
    // Gateway API: a scheme without a port means the scheme's own; Envoy would keep the request's.
    port: redirect?.port ?? (redirect?.scheme === "https" ? 443 : redirect?.scheme === "http" ? 80 : undefined),
    path: redirectPath(path, match),
    stripQuery: false,
  };
}

function redirectPath(path: PathModifier | undefined, match: RouteMatch): RedirectAction["path"] {
  if (path === undefined) return undefined;
  if (path.type === "ReplaceFullPath") return { kind: "full", value: path.replaceFullPath ?? "/" };
  const replacement = (path.replacePrefixMatch ?? "").replace(/\/+$/, "");
  if (match.path.kind !== "pathSeparatedPrefix") return { kind: "prefix", value: `${replacement}/` };
  return replacement === ""
    ? { kind: "regex", ...withoutPrefix(match.path.value) }
    : { kind: "prefix", value: replacement };
}

/** `/foo` -> `/`: to replace the prefix alone would make `//bar` of `/foo/bar`. */
function withoutPrefix(prefix: string): RegexRewrite {
  return { pattern: `^${escapeRegex(prefix)}/*`, substitution: "/" };
}

export function escapeRegex(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
