// Two captured pods and what lies around them: addresses, services, and what each call is to find.
import type { RegistryEndpoint, RegistryService, RegistryWorkload } from "#control-plane/registry/registry.ts";

/** `web` calls, `reviews` is called; both have an application and a sidecar. */
export const PODS = {
  web: { IPv4: "10.244.0.1", IPv6: "fd44::1" },
  reviews: { IPv4: "10.244.0.2", IPv6: "fd44::2" },
} as const;
export type PodName = keyof typeof PODS;

export const FAMILIES = ["IPv4", "IPv6"] as const;
export type Family = (typeof FAMILIES)[number];

/** The node: the control plane, and callers who are in no mesh. */
export const NODE = { IPv4: "10.244.0.254", IPv6: "fd44::fe" } as const;
/** A machine that is no part of the mesh. */
export const STRANGER = { IPv4: "10.98.0.1", IPv6: "fd98::1" } as const;
export const ADDRESSES = {
  web: { IPv4: "10.96.0.1", IPv6: "fd96::1" },
  reviews: { IPv4: "10.96.0.2", IPv6: "fd96::2" },
  empty: { IPv4: "10.96.0.3", IPv6: "fd96::3" },
  mail: { IPv4: "10.96.0.4", IPv6: "fd96::4" },
} as const;

/**
 * Ports of the applications: HTTP, one that greets, one on loopback alone, and in no service HTTP, one that greets, and HTTP that is
 * left out of interception.
 */
export const APP = {
  http: 8080,
  greeter: 2525,
  loopback: 9101,
  unlisted: 9100,
  unlistedGreeter: 9102,
  passed: 9103,
} as const;

const capture = {
  inboundPort: 15_006,
  outboundPort: 15_001,
  passedPorts: [{ first: APP.passed, last: APP.passed }],
};

function instanceOf(pod: PodName): RegistryWorkload {
  return {
    namespace: "shop",
    name: `${pod}-1`,
    addresses: [PODS[pod].IPv4, PODS[pod].IPv6],
    labels: {},
    serviceAccount: pod,
    sidecar: {
      inbound: {},
      outbound: [],
      capture,
      httpProxyPort: undefined,
      adminPort: 15_000,
      metricsPort: 15_020,
    },
  };
}

function endpointOf(pod: PodName, ports: Readonly<Record<string, number>>): RegistryEndpoint {
  const { name, serviceAccount, sidecar, labels, addresses } = instanceOf(pod);
  const [address = ""] = addresses;
  return { name, address, ports, labels, weight: 1, health: "unknown", serviceAccount, sidecar, isSuspect: false };
}

function serviceOf(
  name: string,
  addresses: readonly string[],
  ports: RegistryService["ports"],
  endpoints: readonly RegistryEndpoint[],
): RegistryService {
  return { namespace: "shop", name, hosts: [], addresses, ports, endpoints, origin: "test" };
}

const http = { name: "http", port: 80, protocol: "HTTP" } as const;
const greeter = { name: "greeter", port: APP.greeter, protocol: "AUTO" } as const;

export const WORKLOADS = [instanceOf("web"), instanceOf("reviews")];
export const SERVICES: readonly RegistryService[] = [
  serviceOf("web", Object.values(ADDRESSES.web), [http], [endpointOf("web", { http: APP.http })]),
  serviceOf("reviews", Object.values(ADDRESSES.reviews), [http], [endpointOf("reviews", { http: APP.http })]),
  serviceOf("empty", Object.values(ADDRESSES.empty), [http], []),
  serviceOf("mail", Object.values(ADDRESSES.mail), [greeter], [endpointOf("reviews", {})]),
  serviceOf("mail-headless", [], [greeter], [endpointOf("reviews", {})]),
];

/** What a call is: who makes it, where it goes, what it says. */
export interface Call {
  readonly host: string;
  readonly port: number;
  /** Undefined: says nothing. */
  readonly text?: string;
}

/** What each call got, for one family. */
export interface FamilyFindings {
  readonly service: string;
  readonly otherHost: string;
  readonly forged: string;
  readonly instance: string;
  readonly headless: string;
  readonly mail: string;
  readonly unlisted: string;
  readonly unlistedGreeted: string;
  readonly passed: string;
  readonly itself: string;
  readonly empty: string;
  readonly unknown: string;
  readonly unknownGreeted: string;
  readonly deniedHttp: string;
  readonly denied: string;
  readonly plaintext: string;
  readonly plaintextUnlisted: string;
  readonly permissive: string;
  readonly permissiveUnlisted: string;
  readonly loopbackOnly: string;
  readonly straightIn: string;
  readonly admin: string;
}

export type MeshFindings = Readonly<Record<Family, FamilyFindings>> & {
  readonly metrics: { readonly web: string; readonly reviews: string };
  readonly accessLog: string;
};
