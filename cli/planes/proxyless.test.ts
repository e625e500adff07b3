// gRPC without a proxy: the real client of @grpc/grpc-js-xds, routed by our control plane to a real gRPC server.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import { startPlane } from "./testing/both-planes.ts";

const root = mkdtempSync(path.join(tmpdir(), "heddle-proxyless-"));
const closers: (() => unknown)[] = [() => rmSync(root, { recursive: true, force: true })];

after(async () => {
  for (const close of closers.toReversed()) await close();
});

const asIs = (bytes: Buffer): Buffer => bytes;

/** Answers every call with its name. */
async function startServer(name: string): Promise<number> {
  const server = new Server();
  const method = { path: "/shop.Catalog/Get", requestStream: false, responseStream: false };
  const serialize = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  server.addService(
    { get: { ...method, ...serialize } },
    {
      get: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void =>
        callback(null, Buffer.from(`${name} heard ${String(call.request)}`)),
    },
  );
  closers.push(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

test("a gRPC client that speaks xDS is routed by a GRPCRoute to the subset that its metadata asks for", async () => {
  const [first, second] = [await startServer("one"), await startServer("two")];
  const folder = path.join(root, "mesh");
  mkdirSync(folder);
  writeFileSync(
    path.join(folder, "mesh.yaml"),
    `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: catalog, namespace: shop }
spec:
  ports: [{ name: grpc, port: 9000, protocol: GRPC }]
  endpoints:
    - { name: catalog-v1, address: 127.0.0.1, ports: { grpc: ${first} }, labels: { version: v1 } }
    - { name: catalog-v2, address: 127.0.0.1, ports: { grpc: ${second} }, labels: { version: v2 } }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: { name: catalog-v1, namespace: shop }
spec: { service: catalog, labels: { version: v1 } }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: { name: catalog-v2, namespace: shop }
spec: { service: catalog, labels: { version: v2 } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: catalog, namespace: shop }
spec:
  parentRefs: [{ group: heddle.dev, kind: ServiceEntry, name: catalog }]
  rules:
    - matches: [{ headers: [{ name: version, value: v2 }] }]
      backendRefs: [{ group: heddle.dev, kind: ServiceSubset, name: catalog-v2 }]
    - backendRefs: [{ group: heddle.dev, kind: ServiceSubset, name: catalog-v1 }]
---
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: catalog, namespace: shop }
spec:
  targetRefs: [{ name: catalog }]
  loadBalancing: { policy: leastRequest, slowStart: { window: 10s } }
  circuitBreaker: {}
  outlierDetection: {}
  retries: { attempts: 2, retryOn: [unavailable], retryOnNonIdempotent: [reset] }
  timeouts: { request: 10s }
---
apiVersion: heddle.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: catalog, namespace: shop }
spec:
  targetRefs: [{ name: catalog }]
  direction: outbound
  local: [{ requests: 100, burst: 20 }]
`,
  );
  const plane = await startPlane(root);
  closers.push(() => plane.stop());
  const bootstrap = {
    node: { id: "shop/client", cluster: "client", locality: { region: "here" } },
    xds_servers: [
      {
        server_uri: `127.0.0.1:${plane.xdsPort}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      },
    ],
  };
  const program = fileURLToPath(new URL("testing/grpc-xds-client.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program, "xds:///catalog.shop:9000"], {
    env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) },
    timeout: 20_000,
  });
  assert.deepEqual(JSON.parse(stdout), ["one heard hello", "two heard hello"]);
  const proxies = (await (await fetch(`http://127.0.0.1:${plane.metricsPort}/debug/proxies`)).text()).toString();
  assert.match(proxies, /"dialect":\s*"grpc"/);
});
