// What rules do to a connection: a packet filter of a page, for tests of their order.
import { isWithin, tryCidr } from "../cidr.ts";
import type { RuleSet } from "../rules.ts";

/** The first packet of a connection, as the filter sees it. */
export interface Packet {
  readonly chain: "OUTPUT" | "PREROUTING";
  readonly protocol?: string;
  readonly from?: string;
  readonly to: string;
  readonly port: number;
  /** It leaves by the loopback device: its destination is an address of the pod. */
  readonly isLocal?: boolean;
  readonly uid?: number;
  readonly gid?: number;
}

/** The port that it is redirected to; undefined: it goes its way. */
export function evaluate({ rules }: RuleSet, packet: Packet): number | undefined {
  const verdict = walk(rules, packet.chain, packet);
  return typeof verdict === "number" ? verdict : undefined;
}

function walk(rules: readonly string[], chain: string, packet: Packet): number | "return" | undefined {
  for (const rule of rules.filter((one) => one.startsWith(`-A ${chain} `))) {
    const [, conditions = "", target = "", rest = ""] = /^-A \S+ (.*?)-j (\S+)(.*)$/.exec(rule) ?? [];
    if (!matches(conditions, packet)) continue;
    if (target === "RETURN") return "return";
    if (target === "REDIRECT") return Number(/--to-ports (\d+)/.exec(rest)?.[1]);
    const verdict = walk(rules, target, packet);
    if (typeof verdict === "number") return verdict;
  }
  return undefined;
}

function matches(conditions: string, packet: Packet): boolean {
  const words = conditions.trim().split(" ");
  let isNegated = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "!") isNegated = true;
    if (word === "!" || word === "") continue;
    const holds = condition(word, words[++i] ?? "", packet);
    if (holds === isNegated) return false;
    isNegated = false;
  }
  return true;
}

function condition(name: string, value: string, packet: Packet): boolean {
  const { protocol = "tcp", from = "10.0.0.1", uid = 1000, gid = 1000 } = packet;
  switch (name) {
    case "-m":
      return true;
    case "-p":
      return value === protocol;
    case "-s":
      return isIn(from, value);
    case "-d":
      return isIn(packet.to, value);
    case "-o":
      return value === "lo" && packet.isLocal === true;
    case "--uid-owner":
      return uid === Number(value);
    case "--gid-owner":
      return gid === Number(value);
    case "--dport": {
      const [first, last = first] = value.split(":").map(Number);
      return first !== undefined && last !== undefined && first <= packet.port && packet.port <= last;
    }
    default:
      throw new Error(`The filter of the tests does not know ${name}`);
  }
}

function isIn(address: string, range: string): boolean {
  const cidr = tryCidr(range);
  if (cidr === undefined) throw new Error(`Not a range: ${range}`);
  return isWithin(address, cidr);
}
