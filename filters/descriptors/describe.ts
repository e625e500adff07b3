// Makes the descriptors of a request: what is told of it to a rate limit, by the actions of a filter or a route.
import { compileHeader, compileQuery } from "../matchers.ts";
import type { Exchange } from "../filter.ts";
import { maskAddress } from "./mask-address.ts";
import { parseRateLimitRules, type DescriptorAction, type RateLimitRule, type VirtualHostLimits } from "./config.ts";

export interface Descriptor {
  /** Keys and values in turn. */
  readonly entries: readonly string[];
  /** What the request counts for; undefined = 1. */
  readonly hits: number | undefined;
}

/** Adds entries; false: there is no descriptor. */
type Describer = (exchange: Exchange, into: string[]) => boolean;

interface CompiledRule {
  readonly stage: number;
  readonly disableKey: string;
  readonly hits: number | undefined;
  readonly describers: readonly Describer[];
}

/** The name of this proxy's own cluster (`node.cluster`), for `source_cluster`. */
export type LocalCluster = string;

/** What a request of a configuration is described by: its own rules, or those of routes and their virtual hosts. */
export class RequestDescriber {
  readonly #own: readonly CompiledRule[] | undefined;
  readonly #stage: number;
  readonly #localCluster: LocalCluster;
  /** By the list in the route or virtual host; only few have one. */
  readonly #compiled = new WeakMap<object, readonly CompiledRule[]>();

  constructor(rules: readonly RateLimitRule[] | undefined, stage: number, localCluster: LocalCluster) {
    this.#localCluster = localCluster;
    this.#own = rules?.map((rule) => this.#compile(rule));
    this.#stage = stage;
  }

  describe(exchange: Exchange, option: VirtualHostLimits): readonly Descriptor[] {
    if (this.#own !== undefined) return this.#apply(this.#own, exchange, 0, []);
    const action = exchange.route?.action;
    if (action?.kind !== "forward") return NONE;
    const { rateLimits = NONE, includeVirtualHostRateLimits = false } = action;
    const ofHost = exchange.virtualHost?.rateLimits ?? NONE;
    if (rateLimits.length === 0 && ofHost.length === 0) return NONE;
    const made = this.#apply(this.#rulesOf(rateLimits), exchange, this.#stage, []);
    const takesHosts =
      includeVirtualHostRateLimits || option === "INCLUDE" || (option === "OVERRIDE" && rateLimits.length === 0);
    return takesHosts ? this.#apply(this.#rulesOf(ofHost), exchange, this.#stage, made) : made;
  }

  #rulesOf(list: Parameters<typeof parseRateLimitRules>[0]): readonly CompiledRule[] {
    let rules = this.#compiled.get(list);
    if (rules === undefined) {
      rules = parseRateLimitRules(list).map((rule) => this.#compile(rule));
      this.#compiled.set(list, rules);
    }
    return rules;
  }

  #compile({ stage, disableKey, hits, actions }: RateLimitRule): CompiledRule {
    return { stage, disableKey, hits, describers: actions.map((action) => compileAction(action, this.#localCluster)) };
  }

  #apply(rules: readonly CompiledRule[], exchange: Exchange, stage: number, into: Descriptor[]): Descriptor[] {
    for (const rule of rules) {
      if (rule.stage !== stage) continue;
      const entries: string[] = [];
      if (rule.describers.every((describe) => describe(exchange, entries)) && entries.length > 0)
        into.push({ entries, hits: rule.hits });
    }
    return into;
  }
}

const NONE: readonly never[] = [];

function compileAction(action: DescriptorAction, localCluster: LocalCluster): Describer {
  switch (action.kind) {
    case "genericKey":
      return (_exchange, into) => put(into, action.key, action.value);
    case "tenant":
      return (exchange, into) => putText(into, action.key, String(exchange.notes.get("tenant") ?? ""));
    case "identity":
      return (exchange, into) => putText(into, action.key, exchange.connection.peerIdentity ?? "");
    case "sourceCluster":
      return (_exchange, into) => put(into, "source_cluster", localCluster);
    case "destinationCluster":
      return (exchange, into) => put(into, "destination_cluster", exchange.cluster?.name ?? "");
    case "remoteAddress":
      return (exchange, into) => put(into, "remote_address", exchange.clientAddress);
    case "maskedRemoteAddress":
      return (exchange, into) =>
        put(into, "masked_remote_address", maskAddress(exchange.clientAddress, action.ipv4Bits, action.ipv6Bits));
    case "requestHeaders":
      return (exchange, into) => putFound(into, action, exchange.request.get(action.name));
    case "queryParameters":
      return (exchange, into) => putFound(into, action, queryOf(exchange).get(action.name) ?? undefined);
    case "headerValueMatch": {
      const tests = action.headers.map(compileHeader);
      return (exchange, into) =>
        tests.every((test) => test.matches(exchange.request)) === action.expect && put(into, action.key, action.value);
    }
    case "queryParameterValueMatch": {
      const tests = action.parameters.map(compileQuery);
      return (exchange, into) => {
        const query = queryOf(exchange);
        return tests.every((test) => test(query)) === action.expect && put(into, action.key, action.value);
      };
    }
    default:
      return action satisfies never;
  }
}

function putFound(
  into: string[],
  action: { readonly key: string; readonly skipIfAbsent: boolean },
  value: string | undefined,
): boolean {
  return value === undefined ? action.skipIfAbsent : put(into, action.key, value);
}

function putText(into: string[], key: string, value: string): boolean {
  return value !== "" && put(into, key, value);
}

function put(into: string[], key: string, value: string): true {
  into.push(key, value);
  return true;
}

/** What stands behind the question mark. */
export function queryOf(exchange: Exchange): URLSearchParams {
  const path = exchange.request.get(":path") ?? "";
  const mark = path.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : path.slice(mark + 1));
}
