// What a second worker thread brings: on four cores or more two of them are the proxy's, else it shares both with the load.
import os from "node:os";

import type { Contender } from "../contenders/contender.ts";
import { startProxy } from "../contenders/proxies.ts";
import type { OpenRow, Room, Row, Sample } from "../row.ts";
import { startApp } from "../tools/app.ts";
import { meterLoad } from "../tools/load.ts";
import { cpuMicros } from "../tools/processes.ts";
import { WARM_UP_S } from "./requests.ts";

const ONE = "heddle, 1 worker";
const TWO = "heddle, 2 workers";
/** 64 at least: the kernel spreads connections over the workers by chance (SO_REUSEPORT). */
const OPTIONS = ["-protocol", "h1", "-connections", "128"];
const HAS_OWN_CORES = os.availableParallelism() >= 4;

export const workersRow: Row = {
  name: "workers",
  title: "Two workers over one: HTTP/1.1, 128 connections",
  contenders: [ONE, TWO],
  tools: [],
  columns: [
    { key: "rate", title: "requests/s", digits: 0 },
    { key: "cpu", title: "CPU us per request", digits: 2 },
    { key: "others", title: "CPU us per request of load and application", digits: 2 },
    { key: "proxyCore", title: "core 0 busy %", digits: 0 },
    { key: "loadCore", title: "core 1 busy %", digits: 0 },
  ],
  comparisons: [
    {
      work: "two workers over one, requests",
      figure: "rate",
      ratio: "ours/theirs",
      target: { least: 1.8 },
      of: TWO,
      against: ONE,
    },
    {
      work: "CPU per request of one worker over that of two",
      figure: "cpu",
      ratio: "theirs/ours",
      target: { least: 0.9 },
      of: TWO,
      against: ONE,
    },
  ],
  notes: HAS_OWN_CORES
    ? ["The proxy may use cores 0 and 2, the load generator and the application have core 1."]
    : [
        "This machine has two cores: the second worker shares its core with the load generator and the application, so 1.8 cannot be seen " +
          "here. Two cores allow at most 2 / (proxy + others) requests per second, where one worker alone allows 1 / proxy. What can be " +
          "seen is the price: a second worker that costs no CPU per request doubles the rate where there are cores for it.",
      ],
  open,
};

async function open({ collector, folder }: Room): Promise<OpenRow> {
  const app = await startApp("h1", folder);
  const running = new Map<string, Contender>();
  for (const [name, workers, cores] of [
    [ONE, 1, "0"],
    [TWO, 2, HAS_OWN_CORES ? "0,2" : "0,1"],
  ] as const) {
    const setup = { protocol: "http1", upstream: app.port, collector, folder, workers, cores } as const;
    running.set(name, await startProxy("heddle", setup));
  }
  const measure = async (name: string, seconds: number): Promise<Sample> => {
    const contender = running.get(name);
    if (contender === undefined) throw new Error(`${name} was not started`);
    const appBefore = cpuMicros([app.pid]);
    const metered = await meterLoad(contender, "load", [...OPTIONS, "-seconds", String(seconds)], app);
    const others = cpuMicros([app.pid]) - appBefore + metered.cpuUs;
    return {
      rate: metered.requests / metered.seconds,
      cpu: metered.cpuMicros / metered.requests,
      others: others / metered.requests,
      proxyCore: metered.proxyCore,
      loadCore: metered.loadCore,
    };
  };
  return {
    warmUp: async (name) => void (await measure(name, WARM_UP_S)),
    measure,
    notes: () => [],
    async close() {
      await Promise.all([...running.values(), app].map((one) => one.stop()));
    },
  };
}
