// The connections that the run in network namespaces tries, and what each must find; IPv4 and IPv6 with one table.

/** Who opens it: a user in the pod, or a process outside of it. */
export const CALLERS = {
  application: { uid: 1000, gid: 1000 },
  "excluded user": { uid: 1001, gid: 1000 },
  "excluded group": { uid: 1000, gid: 2002 },
  proxy: { uid: 1337, gid: 1337 },
  "proxy under a random user": { uid: 1_000_650_000, gid: 1337 },
} as const;
export type Caller = keyof typeof CALLERS | "outside";

/** Names of addresses, so that both families have the same cases. */
export const ADDRESSES = {
  IPv4: {
    pod: "10.9.0.2",
    outside: "10.9.0.1",
    service: "10.96.0.1",
    excluded: "10.99.0.1",
    loopback: "127.0.0.1",
    source: "127.0.0.6",
  },
  IPv6: { pod: "fd09::2", outside: "fd09::1", service: "fd96::1", excluded: "fd99::1", loopback: "::1", source: "::6" },
} as const;
export type Family = keyof typeof ADDRESSES;
type AddressName = keyof (typeof ADDRESSES)["IPv4"];

export interface Case {
  readonly what: string;
  readonly caller: Caller;
  readonly to: AddressName;
  readonly port: number;
  readonly from?: AddressName;
  /** Who answers, and what it saw: the original destination, or the caller's address. */
  readonly finds: (address: (typeof ADDRESSES)[Family]) => string;
}

export const FLAGS = [
  "--exclude-outbound-ports=5432,8000-8100",
  "--exclude-inbound-ports=9090",
  "--exclude-outbound-cidrs=10.99.0.0/16,fd99::/16",
  "--exclude-uids=1001",
  "--exclude-gids=2002",
];

const app = { caller: "application" } as const;
const outbound = (to: AddressName, port: number): Pick<Case, "finds"> => ({
  finds: (at) => `15001 for ${at[to]} ${port}`,
});
const inbound = (port: number): Pick<Case, "finds"> => ({ finds: (at) => `15006 for ${at.pod} ${port}` });
const direct: Pick<Case, "finds"> = { finds: (at) => `outside from ${at.pod}` };

export const CASES: readonly Case[] = [
  { what: "to a service", ...app, to: "service", port: 80, ...outbound("service", 80) },
  { what: "to a machine", ...app, to: "outside", port: 80, ...outbound("outside", 80) },
  { what: "DNS over TCP", ...app, to: "outside", port: 53, ...outbound("outside", 53) },
  { what: "to an excluded port", ...app, to: "outside", port: 5432, ...direct },
  { what: "to a port of an excluded range", ...app, to: "outside", port: 8050, ...direct },
  { what: "to an excluded address", ...app, to: "excluded", port: 80, ...direct },
  { what: "to another pod's health port", ...app, to: "outside", port: 15_020, ...direct },
  { what: "to its own address", ...app, to: "pod", port: 8080, finds: (at) => `application from ${at.pod}` },
  { what: "to loopback", ...app, to: "loopback", port: 8080, finds: (at) => `application from ${at.loopback}` },
  { what: "anywhere", caller: "excluded user", to: "outside", port: 80, ...direct },
  { what: "anywhere", caller: "excluded group", to: "outside", port: 80, ...direct },
  { what: "to a machine", caller: "proxy", to: "outside", port: 80, ...direct },
  { what: "to a machine", caller: "proxy under a random user", to: "outside", port: 80, ...direct },
  { what: "to its own pod", caller: "proxy", to: "pod", port: 8080, ...inbound(8080) },
  { what: "to its own pod", caller: "proxy under a random user", to: "pod", port: 8080, ...inbound(8080) },
  {
    what: "to the application",
    caller: "proxy",
    to: "pod",
    port: 8080,
    from: "source",
    finds: (at) => `application from ${at.source}`,
  },
  {
    what: "to loopback",
    caller: "proxy",
    to: "loopback",
    port: 8080,
    finds: (at) => `application from ${at.loopback}`,
  },
  { what: "to the application", caller: "outside", to: "pod", port: 8080, ...inbound(8080) },
  { what: "to a port on which nobody listens", caller: "outside", to: "pod", port: 9, ...inbound(9) },
  {
    what: "to an excluded port",
    caller: "outside",
    to: "pod",
    port: 9090,
    finds: (at) => `application from ${at.outside}`,
  },
  {
    what: "to the health port",
    caller: "outside",
    to: "pod",
    port: 15_020,
    finds: (at) => `health from ${at.outside}`,
  },
  {
    what: "to the inbound port itself",
    caller: "outside",
    to: "pod",
    port: 15_006,
    finds: (at) => `15006 for ${at.pod} 15006`,
  },
];

/** What the run tells. */
export interface Findings {
  /** By family, an answer for each case. */
  readonly redirected: Readonly<Record<Family, readonly string[]>>;
  /** The application to a machine outside, when all was cleaned. */
  readonly cleaned: Readonly<Record<Family, string>>;
  readonly datagram: string;
  /** By backend: the nat tables as the tools print them, without counters and comments. */
  readonly tables: Readonly<Record<"nft" | "legacy", TableFindings>>;
  /** What `redirect` prints the second time. */
  readonly again: string;
  /** Settings that the real tools did not take. */
  readonly refused: readonly string[];
  /** `verify` as user 65532 without capabilities: exit code and message. */
  readonly verified: Readonly<Record<"redirected" | "cleaned" | "proxyUser", Ended>>;
  /** `redirect` without capabilities, and where IPv6's tables are missing. */
  readonly ended: Readonly<Record<"unprivileged" | "noIpv6Tables" | "noIpv6TablesNoAddress", Ended>>;
}

export interface TableFindings {
  readonly once: string;
  readonly twice: string;
  /** From other settings and a foreign rule back to the same settings. */
  readonly changedBack: string;
  readonly cleaned: string;
}

export interface Ended {
  readonly code: number;
  readonly text: string;
}
