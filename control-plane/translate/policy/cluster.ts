// The blocks of TrafficPolicy that protect and balance a backend, as fields of its cluster.
import type {
  BreakerPolicy,
  CircuitLimits,
  Cluster,
  HashingOptions,
  HealthCheck as ClusterHealthCheck,
  HttpUpstreamOptions,
  LbPolicy,
  OutlierDetection as ClusterOutlier,
} from "#config/model/cluster.ts";
import type { HashPolicy } from "#config/model/route.ts";
import { durationMs } from "#config/schema/duration.ts";
import { OUTLIER_DEFAULTS } from "#config/xds/outlier.ts";
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";
import type { HealthCheck } from "#config/schema/traffic/health-check.ts";
import type { LoadBalancing } from "#config/schema/traffic/load-balancing.ts";
import type { OutlierDetection } from "#config/schema/traffic/outlier-detection.ts";
import { timeoutDefaults } from "#config/schema/traffic/timeouts.ts";
import { nextPrime } from "#lib/primes.ts";
import type { Dialect } from "../../mesh/resources.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { limitDefaults, upstreamDefaults } from "../defaults.ts";
import type { TrafficBlocks } from "./traffic.ts";

type ClusterPolicy = Pick<
  Cluster,
  | "connectTimeoutMs"
  | "lb"
  | "slowStart"
  | "panicThresholdPercent"
  | "limits"
  | "highPriorityLimits"
  | "outlier"
  | "weighsLocalities"
  | "healthChecks"
  | "closeOnHealthFailure"
  | "breaker"
>;

/** `host` is what health checks over HTTP name when the policy does not. */
export function clusterPolicy(
  blocks: TrafficBlocks,
  dialect: Dialect,
  host: string,
  protocol: ServicePort["protocol"],
): ClusterPolicy {
  const limits = circuitLimits(blocks);
  const healthChecks = blocks.healthCheck === undefined ? [] : healthCheck(blocks.healthCheck, host, protocol);
  return {
    connectTimeoutMs: durationMs(blocks.timeouts?.connect ?? timeoutDefaults.connect),
    lb: balancer(blocks.loadBalancing, dialect),
    slowStart: dialect === "grpc" ? undefined : slowStart(blocks.loadBalancing),
    panicThresholdPercent: blocks.loadBalancing?.panicThresholdPercent ?? 50,
    limits,
    highPriorityLimits: limits,
    outlier:
      blocks.outlierDetection === undefined
        ? failoverOutlier(blocks.loadBalancing, dialect)
        : outlier(blocks.outlierDetection),
    ...(blocks.loadBalancing?.locality?.distribute === undefined ? {} : { weighsLocalities: true }),
    healthChecks,
    closeOnHealthFailure: healthChecks.length > 0,
    breaker: breaker(blocks),
  };
}

/** How its connections live; `protocol` is what the endpoints speak. */
export function upstreamOptions(blocks: TrafficBlocks, protocol: HttpUpstreamOptions["protocol"]): HttpUpstreamOptions {
  const { connectionLimits: limits, timeouts } = blocks;
  return {
    ...upstreamDefaults,
    protocol,
    idleTimeoutMs: durationMs(timeouts?.connectionIdle ?? timeoutDefaults.connectionIdle),
    maxRequestsPerConnection: limits?.maxRequestsPerConnection ?? 0,
    maxConnectionDurationMs: limits?.maxConnectionAge === undefined ? 0 : durationMs(limits.maxConnectionAge),
  };
}

function circuitLimits({ connectionLimits: limits, retries }: TrafficBlocks): CircuitLimits {
  return {
    maxConnections: limits?.maxConnections ?? limitDefaults.maxConnections,
    maxPendingRequests: limits?.maxPendingRequests ?? limitDefaults.maxPendingRequests,
    maxRequests: limits?.maxRequests ?? limitDefaults.maxRequests,
    maxRetries: limits?.maxRetries ?? limitDefaults.maxRetries,
    retryBudget: retries?.budget ?? limitDefaults.retryBudget,
  };
}

export function breaker({ circuitBreaker }: TrafficBlocks): BreakerPolicy | undefined {
  if (circuitBreaker === undefined) return undefined;
  return {
    volumeThreshold: circuitBreaker.volumeThreshold,
    errorPercent: circuitBreaker.errorPercent,
    windowMs: durationMs(circuitBreaker.window),
    sleepWindowMs: durationMs(circuitBreaker.sleepWindow),
    errorStatuses: circuitBreaker.errorStatuses,
    ...(circuitBreaker.per === undefined ? {} : { per: circuitBreaker.per }),
  };
}

function balancer(block: LoadBalancing | undefined, dialect: Dialect): LbPolicy {
  // grpc-js-xds 1.14.1 refuses clusters with any other policy than these two.
  if (dialect === "grpc" && block?.policy !== "ringHash") return { kind: "roundRobin" };
  const leastRequest: LbPolicy = { kind: "leastRequest", choiceCount: block?.choiceCount ?? 2, activeRequestBias: 1 };
  if (block === undefined) return leastRequest;
  switch (block.policy) {
    case "leastRequest":
      return leastRequest;
    case "roundRobin":
    case "random":
      return { kind: block.policy };
    case "ringHash":
      return {
        kind: "ringHash",
        minimumRingSize: block.ringHash?.minimumRingSize ?? 1024,
        maximumRingSize: block.ringHash?.maximumRingSize ?? 8_388_608,
        ...hashing(block),
      };
    case "maglev":
      return { kind: "maglev", tableSize: nextPrime(block.maglev?.tableSize ?? 65_537), ...hashing(block) };
    case "weightedByLoad": {
      const settings = block.byLoad;
      return {
        kind: "weightedByLoad",
        blackoutMs: durationMs(settings?.blackoutPeriod ?? "10s"),
        expirationMs: durationMs(settings?.weightExpirationPeriod ?? "180s"),
        updateMs: durationMs(settings?.weightUpdatePeriod ?? "1s"),
        errorPenalty: settings?.errorUtilizationPenalty ?? 1,
        metricNames: settings?.metricNames ?? [],
      };
    }
    case "peakEwma":
      // Linkerd's: decay 10 s, first round trip 30 ms. Nobody else speaks it.
      return dialect === "heddle" ? { kind: "peakEwma", decayMs: 10_000, initialRttMs: 30 } : leastRequest;
    default:
      return block.policy satisfies never;
  }
}

function hashing({ hashBalanceFactor }: LoadBalancing): { readonly hashing?: HashingOptions } {
  return hashBalanceFactor === undefined ? {} : { hashing: { useHostname: false, balanceFactor: hashBalanceFactor } };
}

function slowStart(block: LoadBalancing | undefined): Cluster["slowStart"] {
  if (block?.slowStart === undefined) return undefined;
  const { window, aggression, minWeightPercent } = block.slowStart;
  return { windowMs: durationMs(window), aggression, minWeightPercent };
}

function outlier(block: OutlierDetection): ClusterOutlier {
  const { interval, baseEjectionTime, maxEjectionTime, maxEjectionTimeJitter, stages, ...rest } = block;
  const { successfulActiveHealthCheckUnejectHost: successfulHealthCheckUnejects, ...numbers } = rest;
  return {
    ...numbers,
    successfulHealthCheckUnejects,
    intervalMs: durationMs(interval),
    baseEjectionTimeMs: durationMs(baseEjectionTime),
    maxEjectionTimeMs: durationMs(maxEjectionTime),
    maxEjectionTimeJitterMs: durationMs(maxEjectionTimeJitter),
    ...(stages === undefined
      ? {}
      : { stages: { suspectForMs: durationMs(stages.suspectFor), confirmUntilMs: durationMs(stages.confirmUntil) } }),
  };
}

/**
 * Without outlier detection a near endpoint that is ready and does not answer would keep its requests: with preferLocal what the proxy
 * itself sees of them (failed connections, gateway errors) leads them on. All of a zone may go.
 */
function failoverOutlier(block: LoadBalancing | undefined, dialect: Dialect): ClusterOutlier | undefined {
  if (block?.locality?.mode !== "preferLocal" || dialect === "grpc") return undefined;
  return {
    ...OUTLIER_DEFAULTS,
    enforcingConsecutive5xx: 0,
    enforcingConsecutiveGatewayFailure: 100,
    enforcingSuccessRate: 0,
    maxEjectionPercent: 100,
  };
}

/** A policy for a whole service asks only those of its ports that can answer: gRPC over HTTP/2, HTTP anywhere but over opaque TCP. */
function healthCheck(
  block: HealthCheck,
  serviceHost: string,
  protocol: ServicePort["protocol"],
): readonly ClusterHealthCheck[] {
  // A port that says nothing is asked in HTTP/1: it is likelier than that all of a service's ports speak gRPC.
  const http2 = protocol === "HTTP2" || protocol === "GRPC";
  if ((block.grpc !== undefined && !http2) || (block.http !== undefined && protocol === "TCP")) return [];
  return [{ ...checkTimes(block), check: checkOf(block, serviceHost, http2) }];
}

function checkTimes(block: HealthCheck): Omit<ClusterHealthCheck, "check"> {
  return {
    timeoutMs: durationMs(block.timeout),
    intervalMs: durationMs(block.interval),
    jitterMs: 0,
    initialJitterMs: (durationMs(block.interval) * block.jitter) / 100,
    ...(block.jitter === 0 ? {} : { jitterPercent: block.jitter }),
    noTrafficIntervalMs: durationMs(block.noTrafficInterval),
    ...(block.unhealthyInterval === undefined ? {} : { unhealthyIntervalMs: durationMs(block.unhealthyInterval) }),
    ...(block.reuseConnection ? {} : { reuseConnection: false }),
    unhealthyThreshold: block.unhealthyThreshold,
    healthyThreshold: block.healthyThreshold,
  };
}

function checkOf(block: HealthCheck, serviceHost: string, http2: boolean): ClusterHealthCheck["check"] {
  if (block.grpc !== undefined) return { kind: "grpc", serviceName: block.grpc.service ?? "", authority: serviceHost };
  if (block.http === undefined) {
    const { send, receive } = block.tcp ?? {};
    return {
      kind: "tcp",
      ...(send === undefined ? {} : { send: toHex(send) }),
      ...(receive === undefined ? {} : { receive: receive.map(toHex) }),
    };
  }
  const { path, host, expectedStatuses, retriableStatuses } = block.http;
  return {
    kind: "http",
    path,
    host: host ?? serviceHost,
    method: "GET",
    http2,
    expectedStatuses: expectedStatuses.map(toRange),
    ...(retriableStatuses === undefined ? {} : { retriableStatuses: retriableStatuses.map(toRange) }),
  };
}

function toRange(status: number): { readonly start: number; readonly end: number } {
  return { start: status, end: status + 1 };
}

function toHex(text: string): string {
  return Buffer.from(text).toString("hex");
}

/** What a hashing balancer hashes; empty for the others. */
export function hashPolicies(block: LoadBalancing | undefined, mesh: MeshConfigSpec): readonly HashPolicy[] {
  return (block?.hashOn ?? []).flatMap((key) => hashPolicy(key, mesh) ?? []);
}

function hashPolicy(key: NonNullable<LoadBalancing["hashOn"]>[number], mesh: MeshConfigSpec): HashPolicy | undefined {
  const name = key.name ?? "";
  switch (key.type) {
    case "header":
      return { kind: "header", name: name.toLowerCase(), terminal: false };
    case "cookie": {
      const ttlMs = key.ttl === undefined ? undefined : durationMs(key.ttl);
      return { kind: "cookie", name, path: "/", ttlMs, terminal: false };
    }
    case "queryParameter":
      return { kind: "query", name, terminal: false };
    case "sourceAddress":
      return { kind: "sourceIp", terminal: false };
    case "tenant": {
      const header = mesh.tenants?.sources.find((source) => source.header !== undefined)?.header;
      return header && { kind: "header", name: header.name.toLowerCase(), terminal: false };
    }
    default:
      return key.type satisfies never;
  }
}
