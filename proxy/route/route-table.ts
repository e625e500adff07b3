// A route table compiled for matching: what a request gets is found without allocation on the common path.
import { isGrpcType } from "#lib/grpc/content-type.ts";
import { compileRe2 } from "#lib/re2.ts";

import type {
  ForwardAction,
  HeaderMutations,
  RegexRewrite,
  RetryPolicy,
  Route,
  RouteAction,
  RouteMatch,
  RouteScope,
  RouteTable,
  VirtualHost,
  WeightedCluster,
} from "#config/model/route.ts";
import type { FilterOverride, JsonValue } from "#config/model/filter-config.ts";
import type { SharedRouteTable } from "#config/xds/plain/packed-hosts.ts";
import type { RouteOverride } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { Random } from "#lib/random.ts";
import { backendKey } from "#lib/session-key.ts";
import { SmoothWeights } from "#lib/smooth-weights.ts";

import { compileHashPolicy, type RequestHasher } from "./hash-policy.ts";
import { HostTable } from "./host-table.ts";
import { compileHeader, compileQuery, type HeaderTest } from "#filters/matchers.ts";
import { PackedHostTable } from "./packed-host-table.ts";
import { compileRegexRewrite, type PathRewriter } from "./regex-rewrite.ts";

/** Turns a filter's override into what the filter reads; throws with the reason when it does not parse. */
export type OverrideParser = (override: FilterOverride) => ParsedOverride;

/** With how it comes together with what a less specific scope says to the same filter; absent: it replaces that. */
export interface ParsedOverride extends RouteOverride {
  readonly inherit?: ((own: RouteOverride, from: RouteOverride) => RouteOverride) | undefined;
  /** `FilterFactory.bind` with these settings. */
  readonly bind?: ((head: HeaderBlock, clock: Clock) => string | undefined) | undefined;
}

/** One destination of a route with everything that the most specific scope says about it. */
export interface CompiledTarget {
  /** "" when a header names the cluster. */
  readonly cluster: string;
  readonly weighted: WeightedCluster | undefined;
  /** By `backendKey`; "" where no filter binds requests to one target. */
  readonly key: string;
  readonly overrides: ReadonlyMap<string, ParsedOverride>;
  /** Most specific first, as Envoy applies them. */
  readonly requestHeaders: readonly HeaderMutations[];
  readonly responseHeaders: readonly HeaderMutations[];
  /** Path, host or fields of the request are changed on its way upstream. */
  readonly changesRequest: boolean;
}

export interface CompiledRoute {
  readonly config: Route;
  readonly virtualHost: VirtualHost;
  readonly retry: RetryPolicy | undefined;
  readonly targets: readonly CompiledTarget[];
  /** Running sums of the weights; empty for a single target. */
  readonly weights: readonly number[];
  /** Undefined: nothing binds requests to one of the targets. */
  readonly binding: Binding | undefined;
  /** Turns in place of draws; undefined: not asked for. Its state is this table's: a new one begins again. */
  readonly turns: SmoothWeights | undefined;
  readonly retriableHeaders: readonly HeaderTest[];
  /** Of the request. */
  readonly retriableRequests: readonly HeaderTest[];
  /** Undefined: one attempt at a time. */
  readonly hedge: HedgePolicy | undefined;
  readonly hash: RequestHasher;
  readonly regexRewrite: PathRewriter | undefined;
  /** The host that a request gets, or "" where it stays. */
  readonly hostRewrite: HostRewriter | undefined;
}

export type HostRewriter = (head: HeaderBlock) => string;

/** Whatever the weights say, also that of nothing: a session stays with its backend. */
interface Binding {
  readonly bind: NonNullable<ParsedOverride["bind"]>;
  readonly targets: ReadonlyMap<string, CompiledTarget>;
}

/** When another attempt begins beside the one that runs. */
export interface HedgePolicy {
  /** When an attempt has taken its own time limit, instead of ending it (Envoy: `hedge_on_per_try_timeout`). */
  readonly onPerTryTimeout: boolean;
  /** When an attempt has had no answer for so long, in ms; 0 = never. */
  readonly delayMs: number;
  /** Of one request, as long as `delayMs` is why. */
  readonly maxAttempts: number;
}

interface CompiledHost {
  readonly candidates: readonly Candidate[];
  /** Some route takes a share of requests. */
  readonly isShared: boolean;
  /** `<table>/<virtual host>`. */
  readonly key: string;
}

interface Candidate {
  readonly route: CompiledRoute;
  /** `draw`: from 0 to 1, the request's own: routes that take a share of requests are all held against it, as in Envoy. */
  readonly matches: (head: HeaderBlock, path: string, draw: number) => boolean;
}

export class CompiledRouteTable {
  readonly config: RouteTable | SharedRouteTable;
  readonly #hosts: { find(authority: string): CompiledHost | undefined };
  readonly #used: Set<string> | undefined;

  /**
   * Throws with the route's name in the message when something does not compile. `used` is told the hosts that requests go to,
   * as `<table>/<virtual host>`, if the table's hosts come on demand.
   */
  constructor(config: RouteTable | SharedRouteTable, parseOverride: OverrideParser, used?: Set<string>) {
    this.config = config;
    this.#used = config.onDemand ? used : undefined;
    const compile = (host: VirtualHost): CompiledHost => ({
      candidates: host.routes.map((route) => compileCandidate(config, host, route, parseOverride)),
      isShared: host.routes.some(({ match }) => match.runtimeFraction !== undefined),
      key: `${config.name}/${host.name}`,
    });
    this.#hosts =
      "packed" in config
        ? new PackedHostTable(config.packed, compile)
        : new HostTable(config.virtualHosts.map((host) => [host.domains, compile(host)] as const));
  }

  /** True when a virtual host is for this authority, whatever its routes match. */
  hasHost(authority: string): boolean {
    return this.#hosts.find(authority) !== undefined;
  }

  /** Undefined: no virtual host or no route (404, flag NR). */
  match(head: HeaderBlock, random: Random): CompiledRoute | undefined {
    const host = this.#hosts.find(head.get(":authority") ?? "");
    if (host === undefined) return undefined;
    this.#used?.add(host.key);
    const { candidates } = host;
    const path = head.get(":path") ?? "";
    const draw = host.isShared ? random.next() : 0;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i];
      if (candidate !== undefined && candidate.matches(head, path, draw)) return candidate.route;
    }
    return undefined;
  }
}

/** Chooses among weighted targets; by weight, 4-sigma fair, but for requests that a filter binds to one. */
export function chooseTarget(
  route: CompiledRoute,
  head: HeaderBlock,
  random: Random,
  clock: Clock,
): CompiledTarget | undefined {
  const { weights, targets, binding } = route;
  if (weights.length === 0) return targets[0];
  if (binding !== undefined) {
    const key = binding.bind(head, clock);
    const bound = key === undefined ? undefined : binding.targets.get(key);
    if (bound !== undefined) return bound;
  }
  if (route.turns !== undefined) return targets[route.turns.next()];
  const point = random.next() * (weights[weights.length - 1] ?? 0);
  for (let i = 0; i < weights.length; i++) if (point < (weights[i] ?? 0)) return targets[i];
  return targets[targets.length - 1];
}

/** What holds for a route's requests to whatever backend: without what is said of the one that was chosen. */
export function withoutWeighted(target: CompiledTarget): CompiledTarget {
  const { weighted } = target;
  if (weighted === undefined) return target;
  return {
    ...target,
    weighted: undefined,
    requestHeaders: target.requestHeaders.filter((one) => one !== weighted.requestHeaders),
    responseHeaders: target.responseHeaders.filter((one) => one !== weighted.responseHeaders),
  };
}

function compileCandidate(
  table: RouteScope,
  host: VirtualHost,
  route: Route,
  parseOverride: OverrideParser,
): Candidate {
  try {
    return { route: compileRoute(table, host, route, parseOverride), matches: compileMatch(route.match) };
  } catch (cause) {
    throw new Error(
      `Cannot compile route "${route.name}" of virtual host "${host.name}": ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function compileRoute(
  table: RouteScope,
  host: VirtualHost,
  route: Route,
  parseOverride: OverrideParser,
): CompiledRoute {
  const action = route.action;
  const subset = action.kind === "forward" ? action.subset : {};
  const makeTarget = (cluster: string, weighted: WeightedCluster | undefined): CompiledTarget => {
    const scopes: RouteScope[] = weighted === undefined ? [route, host, table] : [weighted, route, host, table];
    const overrides = new Map<string, ParsedOverride>();
    for (const scope of scopes) {
      const owner =
        scope === weighted ? `${ownerOf(route, table, host, route)}/${cluster}` : ownerOf(scope, table, host, route);
      for (const override of scope.filterOverrides) {
        const known = overrides.get(override.filter);
        if (known === undefined) overrides.set(override.filter, { ...parseOverride(override), owner });
        else if (known.inherit !== undefined)
          overrides.set(override.filter, { ...known.inherit(known, parseOverride(override)), inherit: known.inherit });
      }
    }
    const requestHeaders = scopes.map((scope) => scope.requestHeaders).filter(isNotEmpty);
    return {
      cluster,
      weighted,
      key: bindOf(overrides) === undefined ? "" : backendKey(cluster, { ...subset, ...weighted?.subset }),
      overrides,
      requestHeaders,
      changesRequest: requestHeaders.length > 0 || weighted?.hostRewrite !== undefined || rewritesRequest(action),
      responseHeaders: scopes.map((scope) => scope.responseHeaders).filter(isNotEmpty),
    };
  };
  const targets: CompiledTarget[] = [];
  const weights: number[] = [];
  const bound = new Map<string, CompiledTarget>();
  if (action.kind === "forward" && action.target.kind === "weighted") {
    let sum = 0;
    for (const weighted of action.target.clusters) {
      const target = makeTarget(weighted.name, weighted);
      bound.set(target.key, target);
      if (weighted.weight === 0) continue;
      sum += weighted.weight;
      targets.push(target);
      weights.push(sum);
    }
  } else {
    targets.push(
      makeTarget(action.kind === "forward" && action.target.kind === "cluster" ? action.target.name : "", undefined),
    );
  }
  const bind = targets[0] === undefined ? undefined : bindOf(targets[0].overrides);
  const forward = action.kind === "forward" ? action : undefined;
  const rewrite = regexRewriteOf(action);
  const retry = forward === undefined ? undefined : (forward.retry ?? host.retry);
  return {
    config: route,
    virtualHost: host,
    retry,
    retriableHeaders: (retry?.retriableHeaders ?? []).map(compileHeader),
    retriableRequests: (retry?.retriableRequestHeaders ?? []).map(compileHeader),
    targets,
    weights,
    turns:
      weights.length > 1 && isSmooth(route.metadata["heddle"])
        ? new SmoothWeights(targets.map(({ weighted }) => weighted?.weight ?? 1))
        : undefined,
    binding: bind === undefined ? undefined : { bind, targets: bound },
    hedge: compileHedge(route, host),
    hash: compileHashPolicy(forward?.hashPolicy ?? []),
    regexRewrite: rewrite === undefined ? undefined : compileRegexRewrite(rewrite),
    hostRewrite: compileHostRewrite(forward?.hostRewriteFrom),
  };
}

function compileHostRewrite(source: ForwardAction["hostRewriteFrom"]): HostRewriter | undefined {
  if (source === undefined) return undefined;
  if (source.kind === "header") return (head) => head.get(source.name) ?? "";
  const rewrite = compileRegexRewrite(source);
  return (head) => rewrite(withoutQuery(head.get(":path") ?? "/"));
}

function regexRewriteOf(action: Route["action"]): RegexRewrite | undefined {
  if (action.kind === "forward") return action.regexRewrite;
  return action.kind === "redirect" && action.path?.kind === "regex" ? action.path : undefined;
}

/** What Envoy has no field for stands in the route's metadata (translate/gateway-api/routes.ts). */
function isSmooth(metadata: JsonValue | undefined): boolean {
  return (
    typeof metadata === "object" &&
    metadata !== null &&
    !Array.isArray(metadata) &&
    "weights" in metadata &&
    metadata["weights"] === "smooth"
  );
}

function bindOf(overrides: ReadonlyMap<string, ParsedOverride>): ParsedOverride["bind"] {
  for (const { bind } of overrides.values()) if (bind !== undefined) return bind;
  return undefined;
}

/** A name for what says something, the same for all routes that it says it for. */
function ownerOf(scope: RouteScope, table: RouteScope, host: VirtualHost, route: Route): string {
  if (scope === table) return "";
  return scope === host ? host.name : `${host.name}/${route.name === "" ? host.routes.indexOf(route) : route.name}`;
}

/** Envoy's own policy, and ours: `hedging` in the route's metadata, written by the control plane. */
function compileHedge({ action, metadata }: Route, host: VirtualHost): HedgePolicy | undefined {
  if (action.kind !== "forward") return undefined;
  const onPerTryTimeout = action.hedgeOnPerTryTimeout ?? host.hedgeOnPerTryTimeout ?? false;
  const own = metadata["hedging"];
  const { delayMs, maxAttempts } = isStruct(own) ? own : {};
  const delay = typeof delayMs === "number" && delayMs > 0 ? delayMs : 0;
  if (!onPerTryTimeout && delay === 0) return undefined;
  return { onPerTryTimeout, delayMs: delay, maxAttempts: typeof maxAttempts === "number" ? maxAttempts : 2 };
}

function isStruct(value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function compileMatch(match: RouteMatch): Candidate["matches"] {
  const matchesPath = compilePath(match);
  const headers: readonly HeaderTest[] = match.headers.map(compileHeader);
  const query = match.query.map(compileQuery);
  const { grpcOnly, runtimeFraction } = match;
  if (headers.length === 0 && query.length === 0 && !grpcOnly && runtimeFraction === undefined) return matchesPath;
  return (head, path, draw) => {
    if (!matchesPath(head, path)) return false;
    for (let i = 0; i < headers.length; i++) if (headers[i]?.matches(head) === false) return false;
    if (query.length > 0) {
      const mark = path.indexOf("?");
      const parameters = new URLSearchParams(mark < 0 ? "" : path.slice(mark + 1));
      if (!query.every((test) => test(parameters))) return false;
    }
    if (grpcOnly && !isGrpcType(head.get("content-type"))) return false;
    return runtimeFraction === undefined || draw * runtimeFraction.denominator < runtimeFraction.numerator;
  };
}

function compilePath(match: RouteMatch): (head: HeaderBlock, path: string) => boolean {
  const { path: wanted, caseSensitive } = match;
  if (wanted.kind === "connect") return (head) => head.get(":method") === "CONNECT";
  if (wanted.kind === "regex") {
    const pattern = compileRe2(wanted.value);
    return (_head, path) => pattern.matches(withoutQuery(path));
  }
  const value = caseSensitive ? wanted.value : wanted.value.toLowerCase();
  const fold = (path: string): string => (caseSensitive ? path : path.toLowerCase());
  switch (wanted.kind) {
    case "prefix":
      if (value === "/" || value === "")
        return (_head, path) => path.startsWith(value) || (value === "/" && path === "*");
      return (_head, path) => fold(withoutQuery(path)).startsWith(value);
    case "path":
      return (_head, path) => fold(withoutQuery(path)) === value;
    case "pathSeparatedPrefix":
      return (_head, path) => {
        const plain = fold(withoutQuery(path));
        return plain.startsWith(value) && (plain.length === value.length || plain[value.length] === "/");
      };
    default:
      return wanted satisfies never;
  }
}

/** The path without query and fragment: what Envoy's path matchers look at. */
export function withoutQuery(path: string): string {
  const mark = path.indexOf("?");
  const cut = mark < 0 ? path : path.slice(0, mark);
  const hash = cut.indexOf("#");
  return hash < 0 ? cut : cut.slice(0, hash);
}

function rewritesRequest(action: RouteAction): boolean {
  return (
    action.kind === "forward" &&
    (action.autoHostRewrite ||
      action.hostRewrite !== undefined ||
      action.hostRewriteFrom !== undefined ||
      action.pathRewrite !== undefined ||
      action.prefixRewrite !== undefined ||
      action.regexRewrite !== undefined)
  );
}

function isNotEmpty(mutations: HeaderMutations): boolean {
  return mutations.set.length + mutations.add.length + mutations.addIfAbsent.length + mutations.remove.length > 0;
}
