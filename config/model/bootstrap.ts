// How a proxy starts: who it is, what it serves at once and where it learns the rest. Envoy: `config.bootstrap.v3.Bootstrap`.
import type { Cluster } from "./cluster.ts";
import type { JsonValue } from "./filter-config.ts";
import type { Listener } from "./listener.ts";
import type { SocketAddress } from "./address.ts";
import type { Secret } from "./tls.ts";

export interface Bootstrap {
  readonly node: NodeInfo;
  readonly admin: SocketAddress | undefined;
  readonly listeners: readonly Listener[];
  readonly clusters: readonly Cluster[];
  readonly secrets: readonly Secret[];
  readonly ads: AdsConfig | undefined;
  /** Heddle's own settings, from `node.metadata.heddle` (identity, metrics port, drain). */
  readonly heddle: HeddleSettings;
}

export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly metadata: { readonly [key: string]: JsonValue };
}

export interface AdsConfig {
  /** The static cluster that holds the control plane's address and TLS. */
  readonly cluster: string;
  readonly delta: boolean;
  readonly listeners: boolean;
  readonly clusters: boolean;
}

/** `node.metadata.heddle`; Envoy ignores it, so one file runs both. Durations in ms. */
export interface HeddleSettings {
  readonly identity: IdentitySettings | undefined;
  /** Prometheus metrics and health; undefined = none. */
  readonly metrics: SocketAddress | undefined;
  /** 0700 folder for key, certificate, last configuration. */
  readonly stateDir: string | undefined;
  readonly drainTimeMs: number;
  /** How long after SIGTERM all is served as before, unready, so that callers learn that it ends; before `drainTimeMs`. */
  readonly terminationDrainMs: number;
  readonly concurrency: number;
  /** The admin port may be reached from outside of the pod: it shows and changes everything, so only on demand. */
  readonly allowRemoteAdmin: boolean;
}

/** Where the proxy gets its certificate; it makes the key itself. */
export interface IdentitySettings {
  /** Address of the signing service (gRPC over TLS). */
  readonly address: SocketAddress;
  /** PEM file with the roots pinned for that call. */
  readonly rootsFile: string;
  /** File with a join token (used once) or a projected service-account token. */
  readonly tokenFile: string;
  /** What a renewal shows: the certificate itself, or the token, whose file then always holds a good one. */
  readonly renewWith: "certificate" | "token";
  readonly spiffeId: string;
  /** Names under which key+chain and bundle are given to SDS references. */
  readonly certificateName: string;
  readonly bundleName: string;
}
