// The order in which criteria decide, as Envoy documents it for FilterChainMatch.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FilterChain, FilterChainMatch, Listener } from "#config/model/listener.ts";
import type { SocketAddress } from "#config/model/address.ts";
import { chooseChain, planOf, type ConnectionFacts } from "./chain-match.ts";

const ANY: FilterChainMatch = {
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: undefined,
  applicationProtocols: [],
  sourcePrefixRanges: [],
  sourcePorts: [],
};

function chain(name: string, match: Partial<FilterChainMatch>): FilterChain {
  const tcp = { statPrefix: name, clusters: [], idleTimeoutMs: 0, maxConnectAttempts: 1, accessLogs: [] };
  return { name, match: { ...ANY, ...match }, tls: undefined, handshakeTimeoutMs: 0, network: { kind: "tcp", tcp } };
}

function listener(chains: readonly FilterChain[], defaultFilterChain?: FilterChain): Listener {
  return {
    name: "test",
    address: { address: "0.0.0.0", port: 15006 },
    direction: "inbound",
    bindToPort: true,
    useOriginalDst: false,
    inspectTls: true,
    inspectHttp: false,
    inspectTimeoutMs: 0,
    continueOnInspectTimeout: true,
    filterChains: chains,
    defaultFilterChain,
    perConnectionBufferLimitBytes: 1_048_576,
  };
}

interface TestFacts extends ConnectionFacts {
  readonly destinationAddress: string;
  readonly destinationPort: number;
}

const FACTS: TestFacts = {
  destinationAddress: "10.1.2.3",
  destinationPort: 80,
  serverName: "a.b.shop",
  transportProtocol: "tls",
  applicationProtocols: ["h2"],
  sourceAddress: "10.9.9.9",
  sourcePort: 4000,
};

function choose(config: Listener, facts: TestFacts): FilterChain | undefined {
  return chooseChain(
    planOf(config, () => destinationOf(facts)),
    facts,
  );
}

function destinationOf({ destinationAddress: address, destinationPort: port }: TestFacts): SocketAddress {
  return { address, port };
}

function chosen(chains: readonly FilterChain[], facts: Partial<TestFacts> = {}): string | undefined {
  return choose(listener(chains), { ...FACTS, ...facts })?.name;
}

function inspects(chains: readonly FilterChain[], facts: Partial<TestFacts> = {}): boolean {
  return planOf(listener(chains), () => destinationOf({ ...FACTS, ...facts })).inspects;
}

describe("the filter chain of a connection", () => {
  it("is chosen by destination port before anything else", () => {
    const chains = [chain("name", { serverNames: ["a.b.shop"] }), chain("port", { destinationPort: 80 })];
    assert.equal(chosen(chains), "port");
    assert.equal(chosen(chains, { destinationPort: 81 }), "name");
  });

  it("is the one with the longest prefix, for IPv4 and IPv6", () => {
    const chains = [
      chain("wide", { prefixRanges: [{ address: "10.0.0.0", prefixLength: 8 }] }),
      chain("narrow", { prefixRanges: [{ address: "10.1.0.0", prefixLength: 16 }] }),
      chain("six", { prefixRanges: [{ address: "fd00::", prefixLength: 8 }] }),
    ];
    assert.equal(chosen(chains), "narrow");
    assert.equal(chosen(chains, { destinationAddress: "10.2.0.1" }), "wide");
    assert.equal(chosen(chains, { destinationAddress: "fd00::1" }), "six");
    assert.equal(chosen(chains, { destinationAddress: "192.0.2.1" }), undefined);
  });

  it("prefers an exact server name to the longest wildcard, and that to none", () => {
    const chains = [
      chain("any", {}),
      chain("wide", { serverNames: ["*.shop"] }),
      chain("near", { serverNames: ["*.b.shop"] }),
      chain("exact", { serverNames: ["a.b.shop"] }),
    ];
    assert.equal(chosen(chains), "exact");
    assert.equal(chosen(chains, { serverName: "x.b.shop" }), "near");
    assert.equal(chosen(chains, { serverName: "x.shop" }), "wide");
    assert.equal(chosen(chains, { serverName: "" }), "any");
  });

  it("does not go back to a chain that an earlier criterion left behind", () => {
    const chains = [chain("tls only", { destinationPort: 80, transportProtocol: "tls" }), chain("rest", {})];
    assert.equal(chosen(chains, { transportProtocol: "raw_buffer" }), undefined);
  });

  it("tells TLS from plaintext, and ALPN apart (PERMISSIVE)", () => {
    const chains = [
      chain("mesh", { transportProtocol: "tls", applicationProtocols: ["h2"] }),
      chain("tls", { transportProtocol: "tls" }),
      chain("plain", { transportProtocol: "raw_buffer" }),
    ];
    assert.equal(chosen(chains), "mesh");
    assert.equal(chosen(chains, { applicationProtocols: [] }), "tls");
    assert.equal(chosen(chains, { transportProtocol: "raw_buffer" }), "plain");
  });

  it("is the default one when none fits", () => {
    const config = listener([chain("other", { destinationPort: 1 })], chain("default", {}));
    assert.equal(choose(config, FACTS)?.name, "default");
  });

  it("is known without looking at bytes when it is the only one and asks for nothing", () => {
    assert.equal(inspects([chain("tcp", {})]), false);
    assert.equal(inspects([chain("a", { transportProtocol: "tls" }), chain("b", {})]), true);
  });

  it("is known without looking at bytes where only chains of other destinations ask for them", () => {
    const chains = [
      chain("service", { destinationPort: 80, prefixRanges: [{ address: "10.1.2.3", prefixLength: 32 }] }),
      chain("named", { destinationPort: 443, serverNames: ["a.shop"] }),
    ];
    assert.equal(inspects(chains), false);
    assert.equal(inspects(chains, { destinationPort: 443 }), true);
    assert.equal(inspects(chains, { destinationPort: 25 }), false);
  });

  it("is found by an IPv6 address however that is written", () => {
    const chains = [chain("six", { prefixRanges: [{ address: "FD00:0:0::0a", prefixLength: 128 }] }), chain("any", {})];
    assert.equal(chosen(chains, { destinationAddress: "fd00::a" }), "six");
    assert.equal(chosen(chains, { destinationAddress: "fd00::b" }), "any");
  });
});
