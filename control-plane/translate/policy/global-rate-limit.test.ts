// Global limits of RateLimitPolicy: what the proxies' filters are told, and that they can reach the service.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshReader } from "../../mesh/derivation.ts";
import { makeMesh } from "../testing/make-mesh.ts";
import { globalRateLimitPolicies } from "./global-rate-limit.ts";

const MESH = `apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { rateLimitService: { namespace: infra, name: limits, port: 8081, failureMode: closed, timeout: 50ms } }
---
`;

const SHOP = `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: limits, namespace: infra }
spec: { ports: [{ name: grpc, port: 8081, protocol: GRPC }], endpoints: [{ name: l-1, address: 127.0.0.1 }] }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: reviews, namespace: shop }
spec:
  ports: [{ name: http, port: 9080, protocol: HTTP }]
  endpoints: [{ name: r-1, address: 127.0.0.1, labels: { app: reviews } }]
---
`;

function policy(entries: string): string {
  return `apiVersion: heddle.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: reviews, namespace: shop }
spec: { targetRefs: [{ name: reviews }], global: { descriptors: [{ entries: [${entries}], hits: 2 }] } }
`;
}

const TARGET = {
  service: "shop/reviews",
  port: { port: 9080, name: "http", protocol: "HTTP" },
  direction: "inbound",
} as const;

function settingsOf(yaml: string, kind: "forPort" | "forHost"): unknown {
  const snapshot = makeMesh(yaml).store.current;
  assert.ok(snapshot);
  return globalRateLimitPolicies[kind]?.(new MeshReader(snapshot), TARGET as never); // as: a port as far as it is looked at
}

test("the filter is told the service's cluster, its domain and what to tell of a request", () => {
  const yaml = `${MESH}${SHOP}${policy("{ type: header, key: user, name: X-User }, { type: constant, key: plan, value: free }")}`;
  assert.deepEqual(settingsOf(yaml, "forPort"), {
    typeUrl: "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    config: {
      domain: "heddle",
      timeout: "0.05s",
      failureModeDeny: true,
      rateLimitedAsResourceExhausted: true,
      enableXRatelimitHeaders: "DRAFT_VERSION_03",
      rateLimitService: {
        grpcService: { envoyGrpc: { clusterName: "outbound/infra/limits/8081" } },
        transportApiVersion: "V3",
      },
      rateLimits: [
        {
          actions: [
            { requestHeaders: { headerName: "x-user", descriptorKey: "user" } },
            { genericKey: { descriptorKey: "plan", descriptorValue: "free" } },
          ],
          hitsAddend: { number: "2" },
        },
      ],
    },
  });
  assert.match(JSON.stringify(settingsOf(yaml, "forHost")), /RateLimitPerRoute/);
});

test("what Envoy has no action for travels in a message of ours", () => {
  const yaml = `${MESH}${SHOP}${policy("{ type: tenant, key: tenant }, { type: identity, key: peer }")}`;
  assert.match(JSON.stringify(settingsOf(yaml, "forPort")), /heddle\.filters\.global_rate_limit\.v1\.RateLimit"/);
  assert.match(
    JSON.stringify(settingsOf(yaml, "forHost")),
    /heddle\.filters\.global_rate_limit\.v1\.RateLimitPerRoute"/,
  );
});

test("without a service in MeshConfig no chain has the filter", () => {
  const yaml = `${SHOP}${policy("{ type: method, key: method }")}`;
  assert.equal(settingsOf(yaml, "forPort"), undefined);
  assert.equal(settingsOf(yaml, "forHost"), undefined);
});

test("a virtual host or route says how clients are told where that is not the usual way, but not to an Envoy", () => {
  const unusual = policy("{ type: method, key: m }").replace("targetRefs", "grpcStatus: UNAVAILABLE, targetRefs");
  const hostOf = (yaml: string, dialect: "heddle" | "envoy"): string => {
    const snapshot = makeMesh(`${MESH}${SHOP}${yaml}`).store.current ?? assert.fail();
    const settings = globalRateLimitPolicies.forHost?.(new MeshReader(snapshot), { ...TARGET, dialect } as never); // as: above
    return JSON.stringify(settings);
  };
  assert.match(hostOf(unusual, "heddle"), /heddle\.filters.*"rateLimitedAsResourceExhausted":false,"enableX/);
  assert.match(hostOf(unusual, "envoy"), /v3\.RateLimitPerRoute","config":\{"rateLimits"/);
  assert.match(hostOf(policy("{ type: method, key: m }"), "heddle"), /v3\.RateLimitPerRoute","config":\{"rateLimits"/);
});
