// Which filter chain serves a connection: Envoy's order, each criterion narrowing what the one before left.
import { BlockList, isIPv6 } from "node:net";
import type { Cidr } from "#config/model/address.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";

/** What is known of a connection before its chain is chosen. */
export interface ConnectionFacts {
  /** The original destination's where there is one. */
  readonly destinationAddress: string;
  readonly destinationPort: number;
  /** "" = none. */
  readonly serverName: string;
  readonly transportProtocol: "tls" | "raw_buffer";
  /** ALPN of the ClientHello, or what the first plain bytes showed (`http/1.1`, `h2c`). */
  readonly applicationProtocols: readonly string[];
  readonly sourceAddress: string;
  readonly sourcePort: number;
}

/** How well a criterion fits: -1 = not, 0 = it asks for nothing, above = the more specific the higher. */
type Criterion = (facts: ConnectionFacts) => number;

interface Compiled {
  readonly chain: FilterChain;
  /** In Envoy's order. */
  readonly criteria: readonly Criterion[];
}

const CRITERIA = 7;
/** What the http_inspector calls that which it finds. */
const PLAIN_HTTP = new Set(["http/1.0", "http/1.1", "h2c"]);

/** Compiled once per chain object: a listener's chains are immutable, and a change brings new ones. */
const compiledChains = new WeakMap<FilterChain, Compiled>();

/** The chain, the default one, or undefined: the connection must be closed. */
export function chooseChain(listener: Listener, facts: ConnectionFacts): FilterChain | undefined {
  let left: readonly Compiled[] = listener.filterChains.map(compiledOf);
  for (let i = 0; i < CRITERIA && left.length > 0; i++) {
    let best = -1;
    let kept: Compiled[] = [];
    for (const compiled of left) {
      const fit = compiled.criteria[i]?.(facts) ?? -1;
      if (fit < 0 || fit < best) continue;
      if (fit > best) {
        best = fit;
        kept = [];
      }
      kept.push(compiled);
    }
    left = kept;
  }
  return left[0]?.chain ?? listener.defaultFilterChain;
}

/** The chain of all connections, where there is nothing to choose: none asks for anything, and the first one wins. */
export function onlyChain(listener: Listener): FilterChain | undefined {
  const [first] = listener.filterChains;
  if (first === undefined) return listener.defaultFilterChain;
  const { match } = first;
  const asks =
    match.destinationPort !== undefined ||
    match.transportProtocol !== undefined ||
    match.prefixRanges.length > 0 ||
    match.serverNames.length > 0 ||
    match.applicationProtocols.length > 0 ||
    match.sourcePrefixRanges.length > 0 ||
    match.sourcePorts.length > 0;
  return asks || listener.filterChains.length > 1 ? undefined : first;
}

/**
 * Must the first bytes be looked at before a chain can be chosen? Not for a listener with one chain that asks for nothing of
 * them: a server that speaks first must be heard, whatever the listener filters say.
 */
export function needsInspection(listener: Listener): boolean {
  const asks = listener.filterChains.some(
    ({ match }) =>
      match.serverNames.length > 0 || match.transportProtocol !== undefined || match.applicationProtocols.length > 0,
  );
  if (asks) return true;
  const chains = [...listener.filterChains, listener.defaultFilterChain].filter((chain) => chain !== undefined);
  return chains.some(({ tls }) => tls !== undefined) && chains.some(({ tls }) => tls === undefined);
}

/** Does a chain ask which HTTP comes without TLS? Then the listener's http_inspector looks (Envoy: `application_protocols`). */
export function needsHttpInspection(listener: Listener): boolean {
  if (!listener.inspectHttp) return false;
  return listener.filterChains.some(({ match }) => match.applicationProtocols.some((name) => PLAIN_HTTP.has(name)));
}

function compiledOf(chain: FilterChain): Compiled {
  let compiled = compiledChains.get(chain);
  if (compiled === undefined) {
    compiled = compile(chain);
    compiledChains.set(chain, compiled);
  }
  return compiled;
}

function compile(chain: FilterChain): Compiled {
  const { match } = chain;
  return {
    chain,
    criteria: [
      (facts) => (match.destinationPort === undefined ? 0 : match.destinationPort === facts.destinationPort ? 1 : -1),
      compileRanges(match.prefixRanges, (facts) => facts.destinationAddress),
      compileNames(match.serverNames),
      (facts) =>
        match.transportProtocol === undefined ? 0 : match.transportProtocol === facts.transportProtocol ? 1 : -1,
      compileProtocols(match.applicationProtocols),
      compileRanges(match.sourcePrefixRanges, (facts) => facts.sourceAddress),
      (facts) => (match.sourcePorts.length === 0 ? 0 : match.sourcePorts.includes(facts.sourcePort) ? 1 : -1),
    ],
  };
}

function compileRanges(ranges: readonly Cidr[], addressOf: (facts: ConnectionFacts) => string): Criterion {
  if (ranges.length === 0) return () => 0;
  const tests = ranges.map((range) => {
    const list = new BlockList();
    const family = isIPv6(range.address) ? "ipv6" : "ipv4";
    list.addSubnet(range.address, range.prefixLength, family);
    return { list, family, prefixLength: range.prefixLength };
  });
  return (facts) => {
    const address = addressOf(facts);
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    let best = -1;
    for (const test of tests) {
      if (test.family === family && test.prefixLength + 1 > best && test.list.check(address, family)) {
        best = test.prefixLength + 1;
      }
    }
    return best;
  };
}

/** An exact name before the longest `*.suffix`. */
function compileNames(names: readonly string[]): Criterion {
  if (names.length === 0) return () => 0;
  const exact = new Set(names.filter((name) => !name.startsWith("*")).map((name) => name.toLowerCase()));
  const suffixes = names.filter((name) => name.startsWith("*.")).map((name) => name.slice(1).toLowerCase());
  return ({ serverName }) => {
    if (exact.has(serverName)) return 10_000;
    let best = -1;
    for (const suffix of suffixes) if (serverName.endsWith(suffix)) best = Math.max(best, suffix.length);
    return best;
  };
}

function compileProtocols(protocols: readonly string[]): Criterion {
  if (protocols.length === 0) return () => 0;
  return (facts) => (facts.applicationProtocols.some((name) => protocols.includes(name)) ? 1 : -1);
}
