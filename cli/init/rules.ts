// Makes the packet filter's rules of a pod, as `iptables-save` prints them. Pure; docs/interception.md explains each to users.
//
//   PREROUTING -> HEDDLE_INBOUND -> HEDDLE_IN_REDIRECT -> 15006          from outside to the application
//   OUTPUT ----> HEDDLE_OUTPUT ---> HEDDLE_REDIRECT ----> 15001          from the application
//                      `----------> HEDDLE_INBOUND                       from the proxy to its own pod
import type { Cidr, Family } from "./cidr.ts";
import { ADMIN_PORT, HEALTH_PORT, PROXY_SOURCES, type Interception, type PortRange } from "./interception.ts";

/** Every chain of ours begins so, in this version and in others. */
export const CHAIN_PREFIX = "HEDDLE_";

const OUTPUT = "HEDDLE_OUTPUT";
const INBOUND = "HEDDLE_INBOUND";
const REDIRECT = "HEDDLE_REDIRECT";
const IN_REDIRECT = "HEDDLE_IN_REDIRECT";

const LOOPBACKS = { IPv4: "127.0.0.0/8", IPv6: "::1/128" } as const;

/** The nat table's part that is ours. */
export interface RuleSet {
  readonly chains: readonly string[];
  /** `-A CHAIN ...` in order, the jumps from the built-in chains last: until then nothing reaches the rest. */
  readonly rules: readonly string[];
}

/** One family's rules. */
export function makeRules(wanted: Interception, family: Family): RuleSet {
  const rules = [
    `-A ${REDIRECT} -p tcp -j REDIRECT --to-ports ${wanted.outboundPort}`,
    `-A ${IN_REDIRECT} -p tcp -j REDIRECT --to-ports ${wanted.inboundPort}`,
    ...inboundRules(wanted),
    ...outputRules(wanted, family),
    `-A PREROUTING -p tcp -j ${INBOUND}`,
    `-A OUTPUT -p tcp -j ${OUTPUT}`,
  ];
  return { chains: [INBOUND, IN_REDIRECT, OUTPUT, REDIRECT], rules };
}

function inboundRules(wanted: Interception): string[] {
  const passed = [...ownPorts(wanted), ...wanted.excludeInboundPorts];
  const rules = passed.map((port) => `-A ${INBOUND} ${toPort(port)} -j RETURN`);
  if (wanted.includeInboundPorts === "all") rules.push(`-A ${INBOUND} -p tcp -j ${IN_REDIRECT}`);
  else for (const port of wanted.includeInboundPorts) rules.push(`-A ${INBOUND} ${toPort(port)} -j ${IN_REDIRECT}`);
  return unique(rules);
}

function outputRules(wanted: Interception, family: Family): string[] {
  const rule = (match: string, target: string): string => `-A ${OUTPUT} ${match === "" ? "" : `${match} `}-j ${target}`;
  const own = [`-m owner --uid-owner ${wanted.proxyUid}`, `-m owner --gid-owner ${wanted.proxyGid}`];
  const others = [
    ...wanted.excludeUids.map((uid) => `-m owner --uid-owner ${uid}`),
    ...wanted.excludeGids.map((gid) => `-m owner --gid-owner ${gid}`),
  ];
  const ranges = (cidrs: readonly Cidr[]): readonly Cidr[] => cidrs.filter((cidr) => cidr.family === family);
  return unique([
    // First of all: the proxy hands the application what came in; redirected again it would go round for ever.
    rule(`-s ${PROXY_SOURCES[family]}/${family === "IPv4" ? 32 : 128} -o lo`, "RETURN"),
    // The pod calls itself through its Service: the proxy has chosen the pod's own address, where its inbound side must answer.
    ...own.map((user) => rule(`! -d ${LOOPBACKS[family]} -o lo ${user}`, INBOUND)),
    rule("-o lo", "RETURN"),
    ...[...own, ...others].map((user) => rule(user, "RETURN")),
    ...[...ownPorts(wanted), ...wanted.excludeOutboundPorts].map((port) => rule(toPort(port), "RETURN")),
    ...ranges(wanted.excludeOutboundCidrs).map((cidr) => rule(toRange(cidr), "RETURN")),
    ...(wanted.includeOutboundCidrs === "all"
      ? [rule("", REDIRECT)]
      : ranges(wanted.includeOutboundCidrs).map((cidr) => rule(toRange(cidr), REDIRECT))),
  ]);
}

/** What belongs to proxies, in both directions. */
function ownPorts({ outboundPort, inboundPort }: Interception): readonly PortRange[] {
  return [ADMIN_PORT, outboundPort, inboundPort, HEALTH_PORT].map((port) => ({ first: port, last: port }));
}

function toPort({ first, last }: PortRange): string {
  return `-p tcp -m tcp --dport ${first === last ? first : `${first}:${last}`}`;
}

/** iptables prints no destination for "every address". */
function toRange({ text, bits }: Cidr): string {
  return bits === 0 ? "" : `-d ${text}`;
}

function unique(rules: readonly string[]): string[] {
  return [...new Set(rules)];
}
