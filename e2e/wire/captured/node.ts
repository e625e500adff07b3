// Runs alone in a network namespace, which is a node: a bridge with two pods, the control plane, a stranger, callers in no mesh.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import { makeSidecarBootstrap } from "#config/bootstrap/sidecar-bootstrap.ts";
import { callAll, get } from "./calls.ts";
import { getIptables } from "./iptables.ts";
import {
  ADDRESSES,
  APP,
  FAMILIES,
  NODE,
  PODS,
  SERVICES,
  STRANGER,
  WORKLOADS,
  type Call,
  type Family,
  type FamilyFindings,
  type MeshFindings,
  type PodName,
} from "./mesh-plan.ts";
import { startPlane, type Plane } from "./plane.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-captured-"));
const accessLog = path.join(folder, "access.log");
const tools = getIptables();

function ip(line: string): void {
  execFileSync(tools.file("ip"), line.split(" "), { env: tools.env, stdio: ["ignore", "ignore", "inherit"] });
}

function setUp(): void {
  ip("link set lo up");
  ip("link add br0 type bridge");
  ip("link set br0 up");
  for (const family of FAMILIES) {
    const [bits, all, flags] = family === "IPv4" ? [24, 32, ""] : [64, 128, " nodad"];
    ip(`addr add ${NODE[family]}/${bits} dev br0${flags}`);
    ip(`addr add ${STRANGER[family]}/${all} dev lo${flags}`);
  }
}

class Pod {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when the sidecar is ready. */
  static async start(name: PodName, plane: Plane): Promise<Pod> {
    const file = path.join(import.meta.dirname, "pod.ts");
    const child = spawn("unshare", ["-n", process.execPath, "--no-warnings", file, name, writeBootstrap(name, plane)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    child.once("exit", (code) => {
      if (code !== 0) process.exit(1);
    });
    await once(child, "message");
    ip(`link add ${name} type veth peer name eth0 netns ${child.pid}`);
    ip(`link set ${name} master br0`);
    ip(`link set ${name} up`);
    child.send("network");
    await once(child, "message");
    return new Pod(child);
  }

  async call(...calls: readonly Call[]): Promise<readonly string[]> {
    this.#child.send(calls);
    const [answers] = (await once(this.#child, "message")) as [readonly string[]]; // as: pod.ts sends them
    return answers;
  }

  end(): void {
    this.#child.disconnect();
  }
}

function writeBootstrap(name: PodName, plane: Plane): string {
  const own = path.join(folder, name);
  fs.mkdirSync(own, { mode: 0o700 });
  const spiffeId = `spiffe://cluster.local/ns/shop/sa/${name}`;
  fs.writeFileSync(path.join(own, "roots.pem"), plane.rootsPem);
  fs.writeFileSync(path.join(own, "token"), plane.tokenFor(spiffeId), { mode: 0o600 });
  const bootstrap = makeSidecarBootstrap({
    namespace: "shop",
    workload: `${name}-1`,
    service: name,
    serviceAccount: name,
    spiffeId,
    controlPlane: { address: NODE.IPv4, port: plane.port },
    rootsFile: path.join(own, "roots.pem"),
    tokenFile: path.join(own, "token"),
    stateDir: path.join(own, "state"),
    admin: { address: "127.0.0.1", port: 15_000 },
    metrics: { address: "::", port: 15_020 },
  });
  const file = path.join(own, "bootstrap.json");
  fs.writeFileSync(file, JSON.stringify(bootstrap));
  return file;
}

async function openStranger(): Promise<void> {
  for (const family of FAMILIES)
    for (const [port, greeting] of [
      [8080, ""],
      [25, "220 stranger\r\n"],
    ] as const) {
      const server = net.createServer((socket) => {
        socket.on("error", () => undefined);
        if (greeting !== "") socket.end(greeting);
        else socket.once("data", (bytes: Buffer) => void socket.end(`raw ${bytes.toString()}`));
      });
      server.listen(port, STRANGER[family]);
      await once(server, "listening");
    }
}

function meshConfig(mode: "STRICT" | "PERMISSIVE", outboundPolicy: "allow" | "deny"): string {
  return `
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { mtls: { mode: ${mode} }, outboundPolicy: ${outboundPolicy}, accessLog: { path: ${accessLog}, fields: { local: "%DOWNSTREAM_LOCAL_ADDRESS%" } } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: reviews, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews }]
  rules:
    - filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-route, value: reviews }] } }]
      backendRefs: [{ name: reviews, port: 80 }]
`;
}

/** Asks until the answer fits: a change takes its time to get to the proxies. */
async function until(ask: () => Promise<string | undefined>, fits: RegExp): Promise<string> {
  const endMs = Date.now() + 30_000;
  for (;;) {
    const answer = (await ask()) ?? "";
    if (fits.test(answer) || Date.now() > endMs) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Firsts = Omit<FamilyFindings, "deniedHttp" | "denied" | "permissive" | "permissiveUnlisted" | "loopbackOnly">;

async function strictAndAllow(web: Pod, family: Family): Promise<Firsts> {
  const reviews = ADDRESSES.reviews[family];
  const instance = PODS.reviews[family];
  const calls: Record<Exclude<keyof Firsts, "plaintext" | "plaintextUnlisted" | "straightIn" | "admin">, Call> = {
    service: { host: reviews, port: 80, text: get("/service", "reviews") },
    otherHost: { host: reviews, port: 80, text: get("/other-host", "web.shop") },
    forged: { host: reviews, port: 80, text: get("/forged", "reviews", "heddle-workers: 4\r\n") },
    instance: { host: instance, port: APP.http, text: get("/instance", "reviews-1.reviews") },
    headless: { host: instance, port: APP.greeter },
    mail: { host: ADDRESSES.mail[family], port: APP.greeter },
    unlisted: { host: instance, port: APP.unlisted, text: get("/unlisted", "reviews-1") },
    unlistedGreeted: { host: instance, port: APP.unlistedGreeter },
    passed: { host: instance, port: APP.passed, text: get("/passed", "reviews-1") },
    itself: { host: ADDRESSES.web[family], port: 80, text: get("/itself", "web") },
    empty: { host: ADDRESSES.empty[family], port: 80, text: get("/", "empty") },
    unknown: { host: STRANGER[family], port: 8080, text: get("/", "reviews.shop") },
    unknownGreeted: { host: STRANGER[family], port: 25 },
  };
  const names = Object.keys(calls) as (keyof typeof calls)[]; // as: its own keys
  const answers = await web.call(...Object.values(calls));
  const found = Object.fromEntries(names.map((name, index) => [name, answers[index] ?? ""])) as Record<
    keyof typeof calls,
    string
  >; // as: one for each
  const [plaintext = "", plaintextUnlisted = "", straightIn = "", admin = ""] = await callAll([
    { host: instance, port: APP.http, text: get("/plaintext", "reviews") },
    { host: instance, port: APP.unlisted, text: get("/plaintext", "reviews") },
    { host: instance, port: 15_006, text: get("/", "reviews") },
    { host: instance, port: 15_000, text: get("/", "reviews") },
  ]);
  return { ...found, plaintext, plaintextUnlisted, straightIn, admin };
}

type Seconds = Omit<FamilyFindings, keyof Firsts>;

async function permissiveAndDeny(web: Pod, family: Family): Promise<Seconds> {
  const request = { host: STRANGER[family], port: 8080, text: get("/", "reviews.shop") };
  const instance = PODS.reviews[family];
  const deniedHttp = await until(async () => (await web.call(request))[0], /^HTTP\/1\.1 502/);
  const [denied = ""] = await web.call({ host: STRANGER[family], port: 25, text: "EHLO\r\n" });
  const plain = (port: number): Call => ({ host: instance, port, text: get("/permissive", "reviews") });
  const permissive = await until(async () => (await callAll([plain(APP.http)]))[0], /^HTTP\/1\.1 200/);
  const [permissiveUnlisted = "", loopbackOnly = ""] = await callAll([plain(APP.unlisted), plain(APP.loopback)]);
  return { deniedHttp, denied, permissive, permissiveUnlisted, loopbackOnly };
}

async function metricsOf(pod: Pod): Promise<string> {
  const [text = ""] = await pod.call({ host: "127.0.0.1", port: 15_020, text: get("/metrics", "localhost") });
  return text
    .split("\n")
    .filter((line) => /^heddle_(plaintext|tls|connections)_/.test(line))
    .join("\n");
}

setUp();
await openStranger();
const plane = await startPlane(NODE.IPv4, path.join(folder, "plane"), SERVICES, WORKLOADS);
plane.configure(meshConfig("STRICT", "allow"));
const [web, reviews] = await Promise.all([Pod.start("web", plane), Pod.start("reviews", plane)]);
const firsts = { IPv4: await strictAndAllow(web, "IPv4"), IPv6: await strictAndAllow(web, "IPv6") };
const metrics = { web: await metricsOf(web), reviews: await metricsOf(reviews) };
plane.configure(meshConfig("PERMISSIVE", "deny"));
const findings: MeshFindings = {
  IPv4: { ...firsts.IPv4, ...(await permissiveAndDeny(web, "IPv4")) },
  IPv6: { ...firsts.IPv6, ...(await permissiveAndDeny(web, "IPv6")) },
  metrics,
  accessLog: await until(async () => fs.readFileSync(accessLog, "utf8"), /\/itself.*\/service|\/service.*\/itself/s),
};
process.stdout.write(`\n${JSON.stringify(findings)}\n`);
web.end();
reviews.end();
fs.rmSync(folder, { recursive: true, force: true });
process.exit(0);
