// What of a pod's traffic is redirected to its proxy: the settings, as values.
import type { Cidr } from "./cidr.ts";

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Exclusions win over inclusions. */
export interface Interception {
  /** Where the proxy takes connections of the application. */
  readonly outboundPort: number;
  /** Where it takes connections to the application. */
  readonly inboundPort: number;
  readonly excludeOutboundPorts: readonly PortRange[];
  readonly excludeInboundPorts: readonly PortRange[];
  readonly includeInboundPorts: "all" | readonly PortRange[];
  readonly excludeOutboundCidrs: readonly Cidr[];
  readonly includeOutboundCidrs: "all" | readonly Cidr[];
  /** Connections of these users and groups go out as they are. */
  readonly excludeUids: readonly number[];
  readonly excludeGids: readonly number[];
  /** The proxy's own: excluded too, but what it sends to the pod's own addresses arrives as from outside. */
  readonly proxyUid: number;
  readonly proxyGid: number;
}

/** The proxy's admin port, and its port of health, metrics and probes: never redirected. */
export const ADMIN_PORT = 15_000;
export const HEALTH_PORT = 15_020;

/** The source of the proxy's connections to its application: what comes from there is not redirected again. */
export const PROXY_SOURCES = { IPv4: "127.0.0.6", IPv6: "::6" } as const;
