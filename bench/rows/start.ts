// How long from starting the program to its first proxied answer.
import type { ProxyName } from "../contenders/proxies.ts";
import { prepareProxy } from "../contenders/proxies.ts";
import type { OpenRow, Room, Row, Sample } from "../row.ts";
import { startApp } from "../tools/app.ts";
import { getPrograms } from "../tools/get-programs.ts";
import { LOAD_CORE, PROXY_CORE, runPinned } from "../tools/processes.ts";
import { spreadOf } from "../spread.ts";

/** In each round; their median is the round's figure. */
const STARTS = 5;

export const startRow: Row = {
  name: "start",
  title: "Start to first proxied request",
  contenders: ["heddle", "envoy"],
  tools: [],
  columns: [{ key: "ms", title: "ms", digits: 1 }],
  comparisons: [
    {
      work: "start to first proxied request (shipped bundle)",
      figure: "ms",
      ratio: "ours/theirs",
      target: { most: 1.3 },
    },
  ],
  notes: [`The whole bootstrap of the other rows; median of ${STARTS} starts in each round, asked every 0.5 ms.`],
  open,
};

async function open({ collector, folder }: Room): Promise<OpenRow> {
  const app = await startApp("h1", folder);
  const startOnce = async (name: ProxyName): Promise<number> => {
    const { command, port } = await prepareProxy(name, { protocol: "http1", upstream: app.port, collector, folder });
    const pinned = ["taskset", "-c", String(PROXY_CORE), ...command];
    const said = await runPinned(LOAD_CORE, [getPrograms(), "start", "-address", `127.0.0.1:${port}`, ...pinned]);
    // The proxy's own last words go before it, on standard error.
    const last = said
      .trim()
      .split("\n")
      .findLast((line) => line.startsWith('{"beganAt"'));
    const { answeredAt, beganAt } = JSON.parse(last ?? "") as { beganAt: number; answeredAt: number }; // as: bench/go/internal/probe
    return (answeredAt - beganAt) / 1e6;
  };
  const measure = async (contender: string): Promise<Sample> => {
    const times: number[] = [];
    for (let i = 0; i < STARTS; i++) times.push(await startOnce(contender === "envoy" ? "envoy" : "heddle"));
    return { ms: spreadOf(times).median };
  };
  return {
    // The files are in the page cache after the first.
    warmUp: async (contender) => void (await startOnce(contender === "envoy" ? "envoy" : "heddle")),
    measure,
    notes: () => [],
    close: () => app.stop(),
  };
}
