// Heddle and Envoy, started with the same bootstrap: one proxy, or two on the mesh path.
import fs from "node:fs";
import path from "node:path";

import type { Certificates } from "../tools/certificates.ts";
import { getBundle } from "../tools/get-bundle.ts";
import { getEnvoy } from "../tools/get-envoy.ts";
import { freePorts, waitForPort } from "../tools/ports.ts";
import { PROXY_CORE, startPinned, type Running } from "../tools/processes.ts";
import {
  makeBootstrap,
  makeCluster,
  makeCollectorCluster,
  makeListener,
  type ListenerTls,
  type PeerTls,
  type Protocol,
} from "./bootstrap.ts";
import type { Contender } from "./contender.ts";

export type ProxyName = "heddle" | "envoy";

export interface ProxySetup {
  /** Spoken by the client and by the application. */
  readonly protocol: Protocol | "tcp";
  /** The application's port. */
  readonly upstream: number;
  /** Where spans go. */
  readonly collector: number;
  readonly folder: string;
  /** One proxy takes mutual TLS from the load generator; two speak it between them. */
  readonly tls?: { readonly mode: ListenerTls["mode"]; readonly certificates: Certificates };
  readonly hops?: 1 | 2;
  /** Data threads, and the cores they may use. */
  readonly workers?: number;
  readonly cores?: string;
}

interface Prepared {
  readonly command: readonly string[];
  readonly port: number;
}

/** Resolves when it listens. */
export async function startProxy(name: ProxyName, setup: ProxySetup): Promise<Contender> {
  const running: Running[] = [];
  const start = async ({ command, port }: Prepared): Promise<void> => {
    running.push(startPinned(setup.cores ?? PROXY_CORE, command, path.join(setup.folder, `${name}-${port}.log`)));
    await waitForPort(port, 15_000, `${name} (see ${setup.folder})`);
  };
  const contender = (port: number): Contender => ({
    port,
    pids: running.map(({ pid }) => pid),
    async stop() {
      await Promise.all(running.map((one) => one.stop()));
    },
  });
  try {
    const near = await prepareProxy(name, setup);
    await start(near);
    if (setup.hops !== 2) return contender(near.port);
    const far = await prepareProxy(name, { ...setup, upstream: near.port }, true);
    await start(far);
    return contender(far.port);
  } catch (error) {
    await Promise.all(running.map((one) => one.stop()));
    throw error;
  }
}

/** Writes the bootstrap and gives the command; `isOutbound`: the caller's side of the mesh path. */
export async function prepareProxy(name: ProxyName, setup: ProxySetup, isOutbound = false): Promise<Prepared> {
  const { folder, protocol, tls, upstream } = setup;
  const [admin = 0, port = 0, metrics = 0] = await freePorts(3);
  const listenerTls = tls && !isOutbound ? inboundTls(tls.mode, tls.certificates, setup.hops) : undefined;
  const peerTls = tls && isOutbound ? outboundTls(tls.certificates) : undefined;
  const spoken = tls && !isOutbound ? "http2" : protocol;
  const toApp = protocol === "http2" ? "http2" : "http1";
  const bootstrap = makeBootstrap({
    admin,
    metrics,
    listeners: [
      makeListener({
        port,
        protocol: spoken,
        collector: setup.collector,
        accessLog: path.join(folder, `${name}-${port}-access.log`),
        ...(listenerTls === undefined ? {} : { tls: listenerTls }),
      }),
    ],
    clusters: [
      makeCluster("upstream", peerTls === undefined ? toApp : "http2", upstream, peerTls),
      makeCollectorCluster(setup.collector),
    ],
  });
  const file = path.join(folder, `${name}-${port}.json`);
  fs.writeFileSync(file, JSON.stringify(bootstrap, null, 2));
  return { command: proxyCommand(name, file, port, setup.workers ?? 1), port };
}

function inboundTls(mode: ListenerTls["mode"], certificates: Certificates, hops: number | undefined): ListenerTls {
  const { bundlePem, inbound, outbound } = certificates;
  return { mode, own: inbound, bundlePem, peer: hops === 2 ? outbound.identity : undefined };
}

function outboundTls({ bundlePem, inbound, outbound }: Certificates): PeerTls {
  return { own: outbound, bundlePem, peer: inbound.identity };
}

/** `unique`: a number that no other proxy of this machine has. `HEDDLE_NODE_OPTIONS` goes to our Node alone, for profiles. */
export function proxyCommand(name: ProxyName, file: string, unique: number, workers = 1): readonly string[] {
  if (name === "envoy") {
    const threads = ["--concurrency", String(workers)];
    return [getEnvoy(), "-c", file, ...threads, "--base-id", String(unique), "--disable-hot-restart", "-l", "warn"];
  }
  const options = (process.env["HEDDLE_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "");
  // As in the image (Dockerfile).
  return [
    "env",
    "MALLOC_ARENA_MAX=1",
    process.execPath,
    ...options,
    getBundle(),
    "proxy",
    "-c",
    file,
    "--concurrency",
    String(workers),
  ];
}
