import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isWithin } from "./cidr.ts";
import type { Interception, PortRange } from "./interception.ts";
import { makeRules } from "./rules.ts";
import { formatRestore } from "./table.ts";
import { evaluate, type Packet } from "./testing/evaluate.ts";
import { anyFlags, interceptionOf } from "./testing/settings.ts";

const NOTHING = { chains: [], rules: [], jumps: [], isUsed: false };

/** HEDDLE_WRITE_GOLDEN=1 writes them anew. */
const CASES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  exclusions: {
    "exclude-outbound-ports": "5432,8000-8100",
    "exclude-inbound-ports": "9090",
    "exclude-outbound-cidrs": "169.254.169.254/32,fd12::/16",
    "exclude-uids": "1001",
    "exclude-gids": "2002",
  },
  inclusions: {
    "include-inbound-ports": "8080,9000-9010",
    "include-outbound-cidrs": "10.0.0.0/8,fd00::/8",
    "proxy-uid": "7",
    "proxy-gid": "8",
    "outbound-port": "16001",
    "inbound-port": "16006",
  },
  nothing: { "include-inbound-ports": "none", "include-outbound-cidrs": "none" },
};

describe("rules", () => {
  for (const [name, flags] of Object.entries(CASES))
    it(`are as in testing/${name}.rules`, () => {
      const file = path.join(import.meta.dirname, "testing", `${name}.rules`);
      const text = (["IPv4", "IPv6"] as const)
        .map((family) => `# ${family}\n${formatRestore(makeRules(interceptionOf(flags), family), NOTHING)}`)
        .join("");
      if (process.env["HEDDLE_WRITE_GOLDEN"] === "1") writeFileSync(file, text);
      assert.equal(text, readFileSync(file, "utf8"));
    });
});

const FOUR = makeRules(interceptionOf(CASES["exclusions"]), "IPv4");
const SIX = makeRules(interceptionOf(CASES["exclusions"]), "IPv6");

/** What happens to connections of a pod whose addresses are 10.0.0.1 and fd00::1. */
const CONNECTIONS: readonly (readonly [what: string, packet: Packet, port: number | undefined])[] = [
  ["an application's call to a service", { chain: "OUTPUT", to: "10.96.0.1", port: 80 }, 15_001],
  ["an application's call to a service by IPv6", { chain: "OUTPUT", to: "fd96::1", port: 80 }, 15_001],
  ["DNS over TCP", { chain: "OUTPUT", to: "10.96.0.10", port: 53 }, 15_001],
  ["DNS over UDP", { chain: "OUTPUT", protocol: "udp", to: "10.96.0.10", port: 53 }, undefined],
  ["loopback", { chain: "OUTPUT", to: "127.0.0.1", port: 80, isLocal: true }, undefined],
  ["loopback by IPv6", { chain: "OUTPUT", to: "::1", port: 80, isLocal: true }, undefined],
  ["the application to its own address", { chain: "OUTPUT", to: "10.0.0.1", port: 80, isLocal: true }, undefined],
  ["the proxy's call", { chain: "OUTPUT", to: "10.0.0.2", port: 80, uid: 1337 }, undefined],
  ["the proxy's call under a random user", { chain: "OUTPUT", to: "10.0.0.2", port: 80, gid: 1337 }, undefined],
  ["the proxy to its own pod", { chain: "OUTPUT", to: "10.0.0.1", port: 80, isLocal: true, uid: 1337 }, 15_006],
  ["the proxy to its own pod by IPv6", { chain: "OUTPUT", to: "fd00::1", port: 80, isLocal: true, gid: 1337 }, 15_006],
  [
    "the proxy to its own pod's health port",
    { chain: "OUTPUT", to: "10.0.0.1", port: 15_020, isLocal: true, uid: 1337 },
    undefined,
  ],
  [
    "the proxy to its own pod's excluded port",
    { chain: "OUTPUT", to: "10.0.0.1", port: 9090, isLocal: true, uid: 1337 },
    undefined,
  ],
  ["the proxy to loopback", { chain: "OUTPUT", to: "127.0.0.1", port: 80, isLocal: true, uid: 1337 }, undefined],
  [
    "the proxy to the application",
    { chain: "OUTPUT", from: "127.0.0.6", to: "10.0.0.1", port: 80, isLocal: true, uid: 1337 },
    undefined,
  ],
  [
    "the proxy to the application by IPv6",
    { chain: "OUTPUT", from: "::6", to: "fd00::1", port: 80, isLocal: true, uid: 1337 },
    undefined,
  ],
  ["an excluded port", { chain: "OUTPUT", to: "10.96.0.1", port: 5432 }, undefined],
  ["the last of excluded ports", { chain: "OUTPUT", to: "10.96.0.1", port: 8100 }, undefined],
  ["the port behind excluded ones", { chain: "OUTPUT", to: "10.96.0.1", port: 8101 }, 15_001],
  ["an excluded address", { chain: "OUTPUT", to: "169.254.169.254", port: 80 }, undefined],
  ["an excluded net", { chain: "OUTPUT", to: "fd12::9", port: 80 }, undefined],
  ["an excluded user", { chain: "OUTPUT", to: "10.96.0.1", port: 80, uid: 1001 }, undefined],
  ["an excluded group", { chain: "OUTPUT", to: "10.96.0.1", port: 80, gid: 2002 }, undefined],
  ["root", { chain: "OUTPUT", to: "10.96.0.1", port: 80, uid: 0, gid: 0 }, 15_001],
  ["another pod's health port", { chain: "OUTPUT", to: "10.0.0.2", port: 15_020 }, undefined],
  ["a call from outside", { chain: "PREROUTING", to: "10.0.0.1", port: 8080 }, 15_006],
  ["a call from outside by IPv6", { chain: "PREROUTING", to: "fd00::1", port: 8080 }, 15_006],
  ["a probe of the kubelet", { chain: "PREROUTING", to: "10.0.0.1", port: 15_020 }, undefined],
  ["a call from outside to the inbound port", { chain: "PREROUTING", to: "10.0.0.1", port: 15_006 }, undefined],
  ["a call from outside to the outbound port", { chain: "PREROUTING", to: "10.0.0.1", port: 15_001 }, undefined],
  ["a call from outside to the admin port", { chain: "PREROUTING", to: "10.0.0.1", port: 15_000 }, undefined],
  ["a call from outside to an excluded port", { chain: "PREROUTING", to: "10.0.0.1", port: 9090 }, undefined],
  ["UDP from outside", { chain: "PREROUTING", protocol: "udp", to: "10.0.0.1", port: 8080 }, undefined],
];

describe("the order of the rules", () => {
  for (const [what, packet, port] of CONNECTIONS)
    it(`${port === undefined ? "leaves alone" : `redirects to ${port}`}: ${what}`, () => {
      assert.equal(evaluate(packet.to.includes(":") ? SIX : FOUR, packet), port);
    });

  it("does what the settings say, whatever they are", () => {
    const packet = fc.record({
      to: fc.constantFrom("10.1.2.3", "192.168.0.9", "fd00::9", "2001:db8::1"),
      port: fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom(15_000, 15_001, 15_006, 15_020)),
      uid: fc.integer({ min: 0, max: 2000 }),
      gid: fc.integer({ min: 0, max: 2000 }),
    });
    fc.assert(
      fc.property(anyFlags, packet, (flags, { to, port, uid, gid }) => {
        const wanted = interceptionOf(flags);
        const rules = makeRules(wanted, to.includes(":") ? "IPv6" : "IPv4");
        assert.equal(
          evaluate(rules, { chain: "OUTPUT", to, port, uid, gid }),
          outbound(wanted, { to, port, uid, gid }),
        );
        assert.equal(evaluate(rules, { chain: "PREROUTING", to, port }), inbound(wanted, port));
      }),
    );
  });
});

const OWN = [15_000, 15_001, 15_006, 15_020];

function has(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => first <= port && port <= last);
}

function outbound(
  wanted: Interception,
  { to, port, uid, gid }: { readonly to: string; readonly port: number; readonly uid: number; readonly gid: number },
): number | undefined {
  if ([wanted.proxyUid, ...wanted.excludeUids].includes(uid) || [wanted.proxyGid, ...wanted.excludeGids].includes(gid))
    return undefined;
  if (OWN.includes(port) || has(wanted.excludeOutboundPorts, port)) return undefined;
  const family = to.includes(":") ? "IPv6" : "IPv4";
  const isIn = (cidrs: Interception["excludeOutboundCidrs"]): boolean =>
    cidrs.some((cidr) => cidr.family === family && isWithin(to, cidr));
  if (isIn(wanted.excludeOutboundCidrs)) return undefined;
  return wanted.includeOutboundCidrs === "all" || isIn(wanted.includeOutboundCidrs) ? 15_001 : undefined;
}

function inbound(wanted: Interception, port: number): number | undefined {
  if (OWN.includes(port) || has(wanted.excludeInboundPorts, port)) return undefined;
  return wanted.includeInboundPorts === "all" || has(wanted.includeInboundPorts, port) ? 15_006 : undefined;
}
