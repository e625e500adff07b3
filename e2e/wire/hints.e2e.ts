// Ports that say what they speak, and ports that do not: a control plane and two sidecars of one folder of YAML, five protocols.
import fs from "node:fs";
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import path from "node:path";

import http from "node:http";
import net from "node:net";

import { readMeshFolder } from "#cli/mesh-folder.ts";
import { LocalMesh } from "#cli/up/local-mesh.ts";

import { APPS, ask, startApps, type AppName } from "./hints-apps.ts";
import { freePort, makeFolder } from "./opaque-servers.ts";

/** What the ports of each service say. */
const SERVICES = {
  "says nothing, mutual TLS required": { name: "quiet", hints: {}, mode: "STRICT" },
  "says nothing, plaintext allowed": { name: "open", hints: {}, mode: "PERMISSIVE" },
  "has an appProtocol, mutual TLS required": {
    name: "told",
    hints: { web: "http", rpc: "kubernetes.io/h2c", greet: "smtp", cache: "redis", vault: "https" },
    mode: "STRICT",
  },
  "has an appProtocol, plaintext allowed": {
    name: "told-open",
    hints: { web: "http", rpc: "grpc", greet: "tcp", cache: "redis", vault: "tls" },
    mode: "PERMISSIVE",
  },
} as const;

const BURST = 5;
type Ports = Map<string, number>;
const closers: (() => unknown)[] = [];
/** `service app` to the port of the caller's sidecar, and to that of the called one's. */
const outbound: Ports = new Map();
const inbound: Ports = new Map();

before(async () => {
  const onEnd = (close: () => unknown): void => void closers.push(close);
  const apps = await startApps(onEnd);
  const folder = makeFolder(onEnd);
  const mesh = path.join(folder, "mesh");
  fs.mkdirSync(mesh);
  for (const { name } of Object.values(SERVICES)) {
    for (const app of APPS) {
      outbound.set(`${name} ${app}`, await freePort());
      inbound.set(`${name} ${app}`, await freePort());
    }
  }
  for (const ports of [outbound, inbound]) ports.set("limited web", await freePort());
  fs.writeFileSync(path.join(mesh, "mesh.yaml"), makeYaml(apps) + makeLimited(apps.web));
  const [xds, secure, metrics] = [await freePort(), await freePort(), await freePort()];
  const lines: string[] = [];
  const local = new LocalMesh({
    mesh: await readMeshFolder(mesh),
    state: path.join(folder, "state"),
    addresses: { xds: `127.0.0.1:${xds}`, secure: `127.0.0.1:${secure}`, metrics: `127.0.0.1:${metrics}` },
    nodeFile: process.execPath,
    entry: path.join(import.meta.dirname, "../../cli/main.ts"),
    logLevel: "warn",
    hooks: {
      onLine: (name, line) => void lines.push(`${name}: ${line}`),
      onLost: (name, how) => void lines.push(`${name} ended with ${how}`),
    },
  });
  closers.push(() => local.stop());
  await local.start(() => false);
});

after(async () => {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
});

function makeYaml(apps: Readonly<Record<AppName, number>>): string {
  const documents = Object.values(SERVICES).map(({ name, hints, mode }) => {
    const told: Readonly<Partial<Record<AppName, string>>> = hints;
    const ports = APPS.map((app, index) => {
      const hint = told[app];
      return `{ name: ${app}, port: ${8000 + index}${hint === undefined ? "" : `, appProtocol: ${hint}`} }`;
    });
    const listOf = (portOf: (app: AppName) => number): string => APPS.map((app) => `${app}: ${portOf(app)}`).join(", ");
    return `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop }
spec:
  ports: [${ports.join(", ")}]
  endpoints:
    - name: box-1
      address: 127.0.0.1
      ports: { ${listOf((app) => apps[app])} }
      serviceAccount: box
      sidecar: { inbound: { ${listOf((app) => inbound.get(`${name} ${app}`) ?? 0)} } }
---
apiVersion: heddle.dev/v1alpha1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: shop }
spec: { targetRefs: [{ name: ${name} }], mode: ${mode} }
`;
  });
  const calls = [...outbound].map(([key, listen]) => {
    const [service, app] = key.split(" ");
    return `{ service: ${service}, port: ${app}, listen: ${listen} }`;
  });
  documents.push(`
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: caller, namespace: shop }
spec:
  ports: [{ name: main, port: 7000 }]
  endpoints:
    - { name: caller-1, address: 127.0.0.1, serviceAccount: caller, sidecar: { outbound: [${calls.join(", ")}] } }
---
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { drain: { timeout: 1s } }
`);
  return documents.join("---\n");
}

/** `BURST` requests, and then none for the time of the test. */
function makeLimited(app: number): string {
  return `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: limited, namespace: shop }
spec:
  ports: [{ name: web, port: 8000 }]
  endpoints:
    - name: box-1
      address: 127.0.0.1
      ports: { web: ${app} }
      serviceAccount: box
      sidecar: { inbound: { web: ${inbound.get("limited web")} } }
---
apiVersion: heddle.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: limited, namespace: shop }
spec: { targetRefs: [{ name: limited }], local: [{ requests: 1, per: 1h, burst: ${BURST} }] }
`;
}

it("connections that were opened for silent clients and not needed are no requests for a rate limit", async (t) => {
  const port = outbound.get("limited web") ?? 0;
  const sockets = Array.from({ length: BURST }, () => net.connect(port, "127.0.0.1"));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  // Time in which the proxy dials for all of them.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const askOn = (socket: net.Socket | undefined): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = socket === undefined ? { agent: false } : { createConnection: () => socket };
      http
        .get({ host: "127.0.0.1", port, path: "/", ...options }, (response) => resolve(response.resume().statusCode))
        .once("error", reject);
    });
  const statuses: (number | undefined)[] = [];
  for (const socket of sockets) statuses.push(await askOn(socket));
  assert.deepEqual(
    statuses,
    Array.from({ length: BURST }, () => 200),
  );
  assert.equal(await askOn(undefined), 429);
});

for (const [what, { name, mode }] of Object.entries(SERVICES)) {
  for (const app of APPS) {
    it(`${app} through two sidecars, where its port ${what}`, async () => {
      // The second time is by a connection that is there, or with a port that is remembered.
      for (let i = 0; i < 3; i++) await ask(app, outbound.get(`${name} ${app}`) ?? 0);
    });
    if (mode === "PERMISSIVE") {
      it(`${app} from a client without a sidecar, where its port ${what}`, async () => {
        for (let i = 0; i < 3; i++) await ask(app, inbound.get(`${name} ${app}`) ?? 0);
      });
    } else {
      it(`nobody without a certificate reaches ${app}, where its port ${what}`, async () => {
        await assert.rejects(ask(app, inbound.get(`${name} ${app}`) ?? 0));
      });
    }
  }
}
