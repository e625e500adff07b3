// Which filter chain serves a connection: Envoy's order, each criterion narrowing what the one before left.
import { BlockList, isIPv6, SocketAddress as NodeAddress } from "node:net";
import type { Cidr, SocketAddress } from "#config/model/address.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";

/** What is known of a connection before its chain is chosen. */
export interface ConnectionFacts {
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
  /** By the address that the connection was going to; the port is in the index. */
  readonly fitsAddress: (address: string) => number;
  /** What is asked after port and address, in Envoy's order. */
  readonly criteria: readonly Criterion[];
}

/** What a listener's connections to one destination can come to. */
export interface ChainPlan {
  readonly chains: readonly Compiled[];
  readonly defaultChain: FilterChain | undefined;
  /**
   * Must the first bytes be looked at before a chain can be chosen? Not where there is one chain that asks for nothing of them: a
   * server that speaks first must be heard, whatever the listener filters say.
   */
  readonly inspects: boolean;
  /** Does a chain ask which HTTP comes without TLS? Then the listener's http_inspector looks (Envoy: `application_protocols`). */
  readonly inspectsHttp: boolean;
  /** The chain of all connections, where there is nothing to choose. */
  readonly only: FilterChain | undefined;
}

const CRITERIA = 5;
/** What the http_inspector calls that which it finds. */
const PLAIN_HTTP = new Set(["http/1.0", "http/1.1", "h2c"]);

/** Compiled once per chain object: a listener's chains are immutable, and a change brings new ones. */
const compiledChains = new WeakMap<FilterChain, Compiled>();
const tables = new WeakMap<Listener, ChainTable>();

/** `destinationOf` is asked only where a chain asks: the original destination, or the address that the connection came to. */
export function planOf(listener: Listener, destinationOf: () => SocketAddress): ChainPlan {
  let table = tables.get(listener);
  if (table === undefined) tables.set(listener, (table = new ChainTable(listener)));
  return table.planFor(destinationOf);
}

/** The chain, the default one, or undefined: the connection must be closed. */
export function chooseChain(plan: ChainPlan, facts: ConnectionFacts): FilterChain | undefined {
  let left = plan.chains;
  for (let i = 0; i < CRITERIA && left.length > 0; i++)
    left = bestOf(left, (compiled) => compiled.criteria[i]?.(facts) ?? -1);
  return left[0]?.chain ?? plan.defaultChain;
}

/** A listener's chains by destination, so that one of thousands is found as quickly as the only one. */
class ChainTable {
  readonly #listener: Listener;
  readonly #byPort = new Map<number, PortChains>();
  readonly #anyPort = new PortChains();
  readonly #asksForDestination: boolean;
  readonly #plans = new WeakMap<readonly Compiled[], ChainPlan>();

  constructor(listener: Listener) {
    this.#listener = listener;
    const { filterChains } = listener;
    for (const chain of filterChains) this.#chainsOf(chain.match.destinationPort).add(compiledOf(chain));
    this.#asksForDestination = filterChains.some(
      ({ match }) => match.destinationPort !== undefined || match.prefixRanges.length > 0,
    );
  }

  planFor(destinationOf: () => SocketAddress): ChainPlan {
    const chains = this.#asksForDestination ? this.#find(destinationOf()) : this.#anyPort.all;
    let plan = this.#plans.get(chains);
    if (plan === undefined) this.#plans.set(chains, (plan = makePlan(this.#listener, chains)));
    return plan;
  }

  #find({ address, port }: SocketAddress): readonly Compiled[] {
    return (this.#byPort.get(port) ?? this.#anyPort).find(address);
  }

  #chainsOf(port: number | undefined): PortChains {
    if (port === undefined) return this.#anyPort;
    let chains = this.#byPort.get(port);
    if (chains === undefined) this.#byPort.set(port, (chains = new PortChains()));
    return chains;
  }
}

/** Chains for one port, or for any: those of single addresses by these, the others one after the other. */
class PortChains {
  readonly all: Compiled[] = [];
  readonly #byAddress = new Map<string, Compiled[]>();
  readonly #ranged: Compiled[] = [];
  readonly #anywhere: Compiled[] = [];

  add(compiled: Compiled): void {
    this.all.push(compiled);
    const { prefixRanges } = compiled.chain.match;
    if (prefixRanges.length === 0) this.#anywhere.push(compiled);
    if (prefixRanges.some((range) => !isSingle(range))) this.#ranged.push(compiled);
    for (const range of prefixRanges) {
      if (!isSingle(range)) continue;
      const address = canonical(range.address);
      const list = this.#byAddress.get(address);
      if (list === undefined) this.#byAddress.set(address, [compiled]);
      else list.push(compiled);
    }
  }

  find(address: string): readonly Compiled[] {
    const exact = this.#byAddress.get(address);
    if (exact !== undefined) return exact;
    if (this.#ranged.length === 0) return this.#anywhere;
    const found = bestOf(this.#ranged, (compiled) => compiled.fitsAddress(address));
    return found.length === 0 ? this.#anywhere : found;
  }
}

function bestOf(all: readonly Compiled[], fitOf: (compiled: Compiled) => number): readonly Compiled[] {
  let best = -1;
  let kept: Compiled[] = [];
  for (const compiled of all) {
    const fit = fitOf(compiled);
    if (fit < 0 || fit < best) continue;
    if (fit > best) {
      best = fit;
      kept = [];
    }
    kept.push(compiled);
  }
  return kept;
}

function makePlan(listener: Listener, chains: readonly Compiled[]): ChainPlan {
  const { defaultFilterChain: defaultChain } = listener;
  const all = [...chains.map(({ chain }) => chain), ...(defaultChain === undefined ? [] : [defaultChain])];
  const asksForBytes = chains.some(
    ({ chain: { match } }) =>
      match.serverNames.length > 0 || match.transportProtocol !== undefined || match.applicationProtocols.length > 0,
  );
  const isMixed = all.some(({ tls }) => tls !== undefined) && all.some(({ tls }) => tls === undefined);
  const inspects = asksForBytes || isMixed;
  const asksForSource = chains.some(
    ({ chain: { match } }) => match.sourcePrefixRanges.length > 0 || match.sourcePorts.length > 0,
  );
  const [only = defaultChain] = chains.map(({ chain }) => chain);
  return {
    chains,
    defaultChain,
    inspects,
    inspectsHttp:
      listener.inspectHttp &&
      chains.some(({ chain }) => chain.match.applicationProtocols.some((name) => PLAIN_HTTP.has(name))),
    only: inspects || asksForSource || chains.length > 1 ? undefined : only,
  };
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
  const fitsSource = compileRanges(match.sourcePrefixRanges);
  return {
    chain,
    fitsAddress: compileRanges(match.prefixRanges),
    criteria: [
      compileNames(match.serverNames),
      (facts) =>
        match.transportProtocol === undefined ? 0 : match.transportProtocol === facts.transportProtocol ? 1 : -1,
      compileProtocols(match.applicationProtocols),
      (facts) => fitsSource(facts.sourceAddress),
      (facts) => (match.sourcePorts.length === 0 ? 0 : match.sourcePorts.includes(facts.sourcePort) ? 1 : -1),
    ],
  };
}

function compileRanges(ranges: readonly Cidr[]): (address: string) => number {
  if (ranges.length === 0) return () => 0;
  const tests = ranges.map((range) => {
    const list = new BlockList();
    const family = isIPv6(range.address) ? "ipv6" : "ipv4";
    list.addSubnet(range.address, range.prefixLength, family);
    return { list, family, prefixLength: range.prefixLength };
  });
  return (address) => {
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

function isSingle({ address, prefixLength }: Cidr): boolean {
  return prefixLength === (isIPv6(address) ? 128 : 32);
}

/** As the kernel's addresses are written (RFC 5952). */
function canonical(address: string): string {
  return isIPv6(address) ? new NodeAddress({ address, family: "ipv6" }).address : address;
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
