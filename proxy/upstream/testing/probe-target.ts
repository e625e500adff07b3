// What a health probe asks over mutual TLS, for tests.
import type { Endpoint } from "#config/model/endpoint.ts";
import type { HealthCheck } from "#config/model/cluster.ts";
import type { UpstreamTls } from "#config/model/tls.ts";
import { systemClock } from "#lib/clock.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { UpstreamTlsContext } from "#proxy/tls/upstream-context.ts";
import type { ProbeTarget } from "../health/probe.ts";
import { clusterOf } from "./cluster-of.ts";

export interface ProbeTargetParts {
  readonly check: HealthCheck["check"];
  readonly endpoint: Endpoint;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly expectedIdentity: string;
  readonly alpn: readonly string[];
  /** The roots that the server's certificate must be of. */
  readonly bundlePem: string;
  readonly timeoutMs?: number;
}

export function probeTargetOf(parts: ProbeTargetParts): ProbeTarget {
  const { check, endpoint, port, expectedIdentity, alpn, bundlePem, timeoutMs = 30_000 } = parts;
  const settings: HealthCheck = {
    timeoutMs,
    intervalMs: 5000,
    jitterMs: 0,
    noTrafficIntervalMs: 60_000,
    unhealthyThreshold: 3,
    healthyThreshold: 2,
    check,
  };
  const upstream: UpstreamTls = {
    certificate: undefined,
    validation: { roots: { kind: "inline", secret: { bundlePem } }, subjectAltNames: [], acceptUntrusted: false },
    alpn: [],
    minVersion: undefined,
    maxVersion: undefined,
    cipherSuites: [],
    curves: [],
    sni: "",
    autoHostSni: false,
  };
  const context = new UpstreamTlsContext(upstream, new MemorySecretStore(), systemClock);
  const tls = context.forTarget({ expectedIdentity, alpn });
  return { cluster: clusterOf("c"), endpoint, check: settings, address: "127.0.0.1", port, tls };
}
