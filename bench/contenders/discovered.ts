// Heddle or Envoy with everything by discovery (delta ADS), each with a control plane of its own.
import fs from "node:fs";
import path from "node:path";

import { freePorts, waitForPort } from "../tools/ports.ts";
import { LOAD_CORE, PROXY_CORE, startPinned, type Running } from "../tools/processes.ts";
import { makeCluster, makeCollectorCluster, makeDiscoveredBootstrap, makeListener } from "./bootstrap.ts";
import type { Contender } from "./contender.ts";
import { proxyCommand, type ProxyName } from "./proxies.ts";

export interface DiscoveredSetup {
  readonly upstream: number;
  readonly collector: number;
  readonly folder: string;
  readonly routes: object;
}

export interface Push {
  /** ns of CLOCK_MONOTONIC. */
  readonly pushedAt: number;
  readonly bytes: number;
}

export interface Discovered extends Contender {
  /** Has a table ready, for `push`. */
  prepare(routes: object): Promise<void>;
  push(): Promise<Push>;
}

/** HTTP/1.1. Resolves when it listens: it has got its configuration. */
export async function startDiscovered(name: ProxyName, setup: DiscoveredSetup): Promise<Discovered> {
  const { folder, collector, routes, upstream } = setup;
  const [admin = 0, port = 0, metrics = 0, discovery = 0, control = 0] = await freePorts(5);
  const accessLog = path.join(folder, `${name}-${port}-access.log`);
  const resources = path.join(folder, `${name}-${port}-resources.json`);
  const bootstrap = path.join(folder, `${name}-${port}.json`);
  const listener = makeListener({ port, protocol: "http1", accessLog, collector, routeTable: "bench" });
  const clusters = [makeCluster("upstream", "http1", upstream), makeCollectorCluster(collector)];
  fs.writeFileSync(resources, JSON.stringify({ listeners: [listener], clusters, routes: [routes] }));
  fs.writeFileSync(bootstrap, JSON.stringify(makeDiscoveredBootstrap(admin, metrics, discovery), null, 2));
  const script = path.join(import.meta.dirname, "..", "discovery", "server.ts");
  const running: Running[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((one) => one.stop()));
  };
  try {
    const plane = [process.execPath, script, String(discovery), String(control), resources];
    running.push(startPinned(LOAD_CORE, plane, path.join(folder, `${name}-${port}-discovery.log`)));
    await waitForPort(discovery, 15_000, "the control plane of the bench");
    await waitForPort(control, 15_000, "the control plane of the bench");
    const proxy = startPinned(
      PROXY_CORE,
      proxyCommand(name, bootstrap, port),
      path.join(folder, `${name}-${port}.log`),
    );
    running.push(proxy);
    await waitForPort(port, 30_000, `${name} (see ${folder})`);
    const post = async (what: string, body: string): Promise<string> =>
      await (await fetch(`http://127.0.0.1:${control}/${what}`, { method: "POST", body })).text();
    return {
      port,
      pids: [proxy.pid],
      stop,
      prepare: async (table) => void (await post("prepare", JSON.stringify(table))),
      push: async () => JSON.parse(await post("push", "")) as Push, // as: bench/discovery/server.ts answers it
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
