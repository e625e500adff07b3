// Rows of latency at one rate for all, below what the slowest can do; late requests count from when they should have begun.
import type { ContenderName } from "../contenders/contender.ts";
import { toolsOf, type Comparison, type OpenRow, type Room, type Row } from "../row.ts";
import { meterLoad } from "../tools/load.ts";
import { startField, WARM_UP_S, type Work } from "./requests.ts";

export interface FixedRateRow {
  readonly name: string;
  readonly title: string;
  readonly contenders: readonly ContenderName[];
  readonly work: Work;
  /** Requests per second where everybody can do more than that; else less. */
  readonly rate: number;
}

/** Of the slowest contender's most. */
const SHARE_OF_SATURATION = 0.6;
const STEP = 500;

export function fixedRateRow({ name, title, contenders, work, rate }: FixedRateRow): Row {
  const compare = (figure: string): Comparison => ({
    work: `${figure} at a fixed rate: ${title}`,
    figure,
    ratio: "ours/theirs",
    target: { most: 0.6 },
    ...(contenders.includes("haproxy") ? { haproxy: { most: 1.2 } } : {}),
  });
  return {
    name,
    title: `Latency at a fixed rate: ${title}`,
    contenders,
    tools: toolsOf(contenders),
    columns: [
      { key: "p50", title: "p50 ms", digits: 3 },
      { key: "p99", title: "p99 ms", digits: 3 },
      { key: "max", title: "longest ms", digits: 2 },
      { key: "cpu", title: "CPU us per request", digits: 2 },
      { key: "rate", title: "requests/s", digits: 0 },
      { key: "proxyCore", title: "proxy core busy %", digits: 0 },
      { key: "loadCore", title: "load core busy %", digits: 0 },
    ],
    comparisons: [compare("p50"), compare("p99")],
    notes: [],
    open: (room) => openFixedRate(room, work, rate),
  };
}

async function openFixedRate(room: Room, work: Work, wanted: number): Promise<OpenRow> {
  const field = await startField(room, work);
  const saturation = new Map<string, number>();
  const chooseRate = (): number => {
    const affordable = Math.floor((Math.min(...saturation.values()) * SHARE_OF_SATURATION) / STEP) * STEP;
    return Math.max(STEP, Math.min(wanted, affordable));
  };
  return {
    async warmUp(contender) {
      const options = [...work.options, "-seconds", String(WARM_UP_S)];
      const { requests, seconds } = await meterLoad(field.get(contender), work.program, options, field.app);
      saturation.set(contender, requests / seconds);
    },
    async measure(contender, seconds) {
      const options = [...work.options, "-seconds", String(seconds), "-rate", String(chooseRate())];
      const metered = await meterLoad(field.get(contender), work.program, options, field.app);
      return {
        p50: metered.p50Us / 1000,
        p99: metered.p99Us / 1000,
        max: metered.maxUs / 1000,
        cpu: metered.cpuMicros / metered.requests,
        rate: metered.requests / metered.seconds,
        proxyCore: metered.proxyCore,
        loadCore: metered.loadCore,
      };
    },
    notes() {
      const most = [...saturation].map(([name, rate]) => `${name} ${rate.toFixed(0)}`).join(", ");
      const rate = chooseRate();
      const why = rate < wanted ? ` instead of ${wanted}, to stay below everybody's saturation` : "";
      return [`${rate} requests per second${why}; at saturation while warming up: ${most}.`];
    },
    close: () => field.close(),
  };
}
