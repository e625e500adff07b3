// A push of 5,000 virtual hosts while requests run: how long until it is in effect, and the longest request meanwhile.
import { makeRouteTable, standardRoutes } from "../contenders/bootstrap.ts";
import { startDiscovered, type Discovered } from "../contenders/discovered.ts";
import type { OpenRow, Room, Row, Sample } from "../row.ts";
import { startApp } from "../tools/app.ts";
import { getPrograms } from "../tools/get-programs.ts";
import { runLoad } from "../tools/load.ts";
import { converse, LOAD_CORE } from "../tools/processes.ts";

const HOSTS = 5000;
const LOAD = ["-protocol", "h1", "-connections", "8", "-rate", "500", "-host", "svc-7.shop.svc.cluster.local"];
const LOAD_S = 3;
/** The load runs alone for so long, before a push and without any. */
const QUIET_MS = 500;

export const pushRow: Row = {
  name: "push",
  title: "A push of 5,000 virtual hosts (2 domains and 3 routes each)",
  contenders: ["heddle", "envoy"],
  tools: [],
  columns: [
    { key: "effect", title: "time to effect ms", digits: 1 },
    { key: "longest", title: "longest request meanwhile ms", digits: 1 },
    { key: "quiet", title: "longest request without a push ms", digits: 1 },
  ],
  comparisons: [
    {
      work: "push of 5,000 virtual hosts: time to effect",
      figure: "effect",
      ratio: "ours/theirs",
      target: { most: 0.3 },
    },
    { work: "the same: longest request meanwhile", figure: "longest", ratio: "ours/theirs", target: { most: 1 } },
  ],
  notes: [
    "Both by delta ADS from the same small server (`bench/discovery/server.ts`), which sends one route table in bytes that it has ready; " +
      "Heddle reads no route files. Every virtual host differs from the push before. In effect: a host that only the new table has is " +
      `answered with 200, asked every 0.5 ms. Meanwhile ${LOAD[5]} requests per second run at a fixed rate.`,
  ],
  open,
};

/** Of one generation: each host's timeout differs from the one before. */
function tableOf(generation: number): object {
  const hosts = Array.from({ length: HOSTS }, (_, i) => ({
    name: `svc-${i}`,
    domains: [`svc-${i}.shop.svc.cluster.local`, `svc-${i}.shop`],
    routes: [
      { name: "api", match: { prefix: "/internal/" }, route: { cluster: "upstream", timeout: `${generation + 1}s` } },
      ...standardRoutes,
    ],
  }));
  const probe = { name: "probe", domains: [probeHost(generation)], routes: standardRoutes };
  return makeRouteTable("bench", [...hosts, probe]);
}

const probeHost = (generation: number): string => `generation-${generation}.bench`;

async function open({ collector, folder, contenders }: Room): Promise<OpenRow> {
  const app = await startApp("h1", folder);
  const running = new Map<string, Discovered>();
  const generations = new Map<string, number>();
  let bytes = 0;
  const close = async (): Promise<void> => {
    await Promise.all([...running.values(), app].map((one) => one.stop()));
  };
  try {
    for (const name of ["heddle", "envoy"] as const)
      if (contenders.includes(name))
        running.set(name, await startDiscovered(name, { upstream: app.port, collector, folder, routes: tableOf(0) }));
  } catch (error) {
    await close();
    throw error;
  }
  const measure = async (name: string): Promise<Sample> => {
    const proxy = running.get(name);
    if (proxy === undefined) throw new Error(`${name} was not started`);
    const generation = (generations.get(name) ?? 0) + 1;
    generations.set(name, generation);
    const address = ["-address", `127.0.0.1:${proxy.port}`];
    const quiet = await runLoad("load", [...address, ...LOAD, "-seconds", "1"]);
    await proxy.prepare(tableOf(generation));
    const load = runLoad("load", [...address, ...LOAD, "-seconds", String(LOAD_S)]);
    const probe = converse(LOAD_CORE, [getPrograms(), "probe", ...address, "-host", probeHost(generation)]);
    await Promise.all([probe.hear("ready"), new Promise((resolve) => setTimeout(resolve, QUIET_MS))]);
    const push = await proxy.push();
    bytes = push.bytes;
    const said = await probe.finish();
    const { answeredAt } = JSON.parse(said.trim().split("\n").at(-1) ?? "") as { answeredAt: number }; // as: internal/probe
    return {
      effect: (answeredAt - push.pushedAt) / 1e6,
      longest: (await load).maxUs / 1000,
      quiet: quiet.maxUs / 1000,
    };
  };
  return {
    warmUp: async (name) => void (await measure(name)),
    measure,
    notes: () => [`The table is ${(bytes / 2 ** 20).toFixed(1)} MiB on the wire.`],
    close,
  };
}
