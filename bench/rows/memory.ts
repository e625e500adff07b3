// Resident memory: idle, per idle connection, and under load; a fresh process for each figure.
import type { Contender } from "../contenders/contender.ts";
import { makeRouteTable, standardRoutes } from "../contenders/bootstrap.ts";
import { startDiscovered } from "../contenders/discovered.ts";
import { startProxy, type ProxyName } from "../contenders/proxies.ts";
import type { OpenRow, Room, Row, Sample } from "../row.ts";
import { startApp, type App } from "../tools/app.ts";
import { getPrograms } from "../tools/get-programs.ts";
import { meterLoad } from "../tools/load.ts";
import { converse, LOAD_CORE, ownMib, rssMib } from "../tools/processes.ts";
import { BODY_BYTES } from "./bulk.ts";

const IDLE_CONNECTIONS = 10_000;
const SETTLE_MS = 1500;
const LOAD_S = "4";

export const memoryRow: Row = {
  name: "memory",
  title: "Resident memory",
  contenders: ["heddle", "envoy"],
  tools: [],
  columns: [
    { key: "idle", title: "idle, configured MiB", digits: 1 },
    { key: "idleOwn", title: "of it its own MiB", digits: 1 },
    { key: "discovered", title: "idle, xDS connected MiB", digits: 1 },
    { key: "discoveredOwn", title: "of it its own MiB", digits: 1 },
    { key: "h1", title: "KiB per idle h1 connection", digits: 2 },
    { key: "h2", title: "KiB per idle h2 connection", digits: 2 },
    { key: "small", title: "under small requests (most) MiB", digits: 0 },
    { key: "smallOwn", title: "of it its own MiB", digits: 0 },
    { key: "large", title: "with large bodies (most) MiB", digits: 0 },
  ],
  comparisons: [
    { work: "RSS idle, configured", figure: "idle", ratio: "ours/theirs", target: { most: 1.15 } },
    { work: "RSS idle, xDS connected", figure: "discovered", ratio: "ours/theirs", target: { most: 1.15 } },
    { work: "RSS per idle connection, h1", figure: "h1", ratio: "ours/theirs", target: { most: 1 } },
    { work: "RSS per idle connection, h2", figure: "h2", ratio: "ours/theirs", target: { most: 1 } },
    { work: "RSS under small-request load", figure: "small", ratio: "ours/theirs", target: { most: 1.3 } },
    { work: "RSS with large bodies", figure: "large", ratio: "ours/theirs", target: { most: 1.5 } },
  ],
  notes: [
    `Idle: ${SETTLE_MS} ms after the start. Per connection: what ${IDLE_CONNECTIONS} connections that made one request each add. Under ` +
      `load: the most that was seen in ${LOAD_S} s of h2c with 4 connections x 16 streams, and in 8 bodies of 64 MiB down and 8 up, 4 at a time.`,
    "Its own: what it has written and shares with nobody (Private_Dirty). RSS counts besides the pages of its program, which all " +
      "proxies of a machine share, as far as they are mapped; Heddle unmaps those of its start once it is idle.",
  ],
  open,
};

async function open(room: Room): Promise<OpenRow> {
  const { collector, folder } = room;
  const apps = { http1: await startApp("h1", folder), http2: await startApp("h2", folder) };
  const large = await startApp("h2", folder, BODY_BYTES);
  const withProxy = async <T>(
    name: ProxyName,
    protocol: "http1" | "http2",
    app: App,
    doing: (proxy: Contender) => Promise<T>,
  ): Promise<T> => {
    const proxy = await startProxy(name, { protocol, upstream: app.port, collector, folder });
    return await doing(proxy).finally(() => proxy.stop());
  };
  return {
    warmUp: async () => {},
    async measure(contender): Promise<Sample> {
      const name = contender === "envoy" ? "envoy" : "heddle";
      const routes = makeRouteTable("bench", [{ name: "all", domains: ["*"], routes: standardRoutes }]);
      const discovered = await startDiscovered(name, { upstream: apps.http1.port, collector, folder, routes });
      const atRest = await settledBoth(discovered).finally(() => discovered.stop());
      const idle = await withProxy(name, "http1", apps.http1, settledBoth);
      const small = await withProxy(name, "http2", apps.http2, smallLoad);
      return {
        discovered: atRest.rss,
        discoveredOwn: atRest.own,
        idle: idle.rss,
        idleOwn: idle.own,
        h1: await withProxy(name, "http1", apps.http1, (proxy) => perConnection(proxy, "h1")),
        h2: await withProxy(name, "http2", apps.http2, (proxy) => perConnection(proxy, "h2")),
        small: small.rss,
        smallOwn: small.own,
        large: await withProxy(name, "http2", large, largeLoad),
      };
    },
    notes: () => [],
    async close() {
      await Promise.all([apps.http1, apps.http2, large].map((app) => app.stop()));
    },
  };
}

async function settled(proxy: Contender): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return rssMib(proxy.pids);
}

/** In MiB. */
interface Memory {
  readonly rss: number;
  readonly own: number;
}

async function settledBoth(proxy: Contender): Promise<Memory> {
  const rss = await settled(proxy);
  return { rss, own: ownMib(proxy.pids) };
}

async function perConnection(proxy: Contender, protocol: "h1" | "h2"): Promise<number> {
  const at = ["-address", `127.0.0.1:${proxy.port}`, "-protocol", protocol];
  // What the first requests bring into memory is not the connections'.
  await hold(at, 100, async () => await settled(proxy));
  const before = await settled(proxy);
  const after = await hold(at, IDLE_CONNECTIONS, async () => await settled(proxy));
  return ((after - before) * 1024) / IDLE_CONNECTIONS;
}

/** `doing` runs while the connections are open. */
async function hold(at: readonly string[], count: number, doing: () => Promise<number>): Promise<number> {
  const client = converse(LOAD_CORE, [getPrograms(), "connections", ...at, "-connections", String(count)]);
  await client.hear("open");
  const found = await doing();
  await client.finish();
  return found;
}

async function smallLoad(proxy: Contender): Promise<Memory> {
  const options = ["-protocol", "h2", "-connections", "4", "-streams", "16", "-seconds", LOAD_S];
  const { rssMib: rss } = await meterLoad(proxy, "load", options);
  return { rss, own: ownMib(proxy.pids) };
}

async function largeLoad(proxy: Contender): Promise<number> {
  const options = ["-protocol", "h2", "-connections", "4", "-requests", "8"];
  const down = await meterLoad(proxy, "load", options);
  const up = await meterLoad(proxy, "load", [...options, "-upload", String(BODY_BYTES)]);
  return Math.max(down.rssMib, up.rssMib);
}
