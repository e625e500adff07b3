// Rows of many small exchanges: each contender is started once, and the rounds go over them in turn.
import { contenderNames, type Contender, type ContenderName } from "../contenders/contender.ts";
import { startPeer } from "../contenders/peers.ts";
import { startProxy, type ProxySetup } from "../contenders/proxies.ts";
import { toolsOf, type Column, type Comparison, type OpenRow, type Room, type Row } from "../row.ts";
import { startApp, type App, type AppKind } from "../tools/app.ts";
import { meterLoad } from "../tools/load.ts";

/** Just-in-time compilers are through with both proxies of a path after about so long. */
export const WARM_UP_S = 6;

export interface Work {
  readonly app: AppKind;
  /** Program of bench/go and its options, without address and time. */
  readonly program: string;
  readonly options: readonly string[];
  readonly hops?: 1 | 2;
  readonly mode?: "strict" | "permissive";
}

export interface RequestRow {
  readonly name: string;
  readonly title: string;
  readonly contenders: readonly ContenderName[];
  readonly work: Work;
  readonly comparisons: readonly Comparison[];
  readonly notes?: readonly string[];
}

const COLUMNS: readonly Column[] = [
  { key: "rate", title: "requests/s", digits: 0 },
  { key: "cpu", title: "CPU us per request", digits: 2 },
  { key: "p50", title: "p50 ms", digits: 2 },
  { key: "p99", title: "p99 ms", digits: 2 },
  { key: "rss", title: "RSS MiB", digits: 0 },
  { key: "proxyCore", title: "proxy core busy %", digits: 0 },
  { key: "loadCore", title: "load core busy %", digits: 0 },
];

/** As many requests as are answered. */
export function requestRow({ name, title, contenders, work, comparisons, notes = [] }: RequestRow): Row {
  return {
    name,
    title,
    contenders,
    tools: toolsOf(contenders),
    columns: COLUMNS,
    comparisons,
    notes,
    open: (room) => openRequests(room, work),
  };
}

async function openRequests(room: Room, work: Work): Promise<OpenRow> {
  const field = await startField(room, work);
  const run = async (contender: string, seconds: number) => {
    const options = [...work.options, "-seconds", String(seconds)];
    const metered = await meterLoad(field.get(contender), work.program, options, field.app);
    return {
      rate: metered.requests / metered.seconds,
      cpu: metered.cpuMicros / metered.requests,
      p50: metered.p50Us / 1000,
      p99: metered.p99Us / 1000,
      rss: metered.rssMib,
      proxyCore: metered.proxyCore,
      loadCore: metered.loadCore,
    };
  };
  return {
    warmUp: async (contender) => void (await run(contender, WARM_UP_S)),
    measure: run,
    notes: () => [],
    close: () => field.close(),
  };
}

/** The application and every contender in front of it. */
export interface Field {
  readonly app: App;
  get(contender: string): Contender;
  close(): Promise<void>;
}

/** `bodyBytes`: of the application's answers. */
export async function startField(room: Room, work: Work, bodyBytes?: number): Promise<Field> {
  const app = await startApp(work.app, room.folder, bodyBytes);
  const running = new Map<string, Contender>();
  const close = async (): Promise<void> => {
    await Promise.all([...running.values(), app].map((one) => one.stop()));
  };
  try {
    for (const name of contenderNames)
      if (room.contenders.includes(name)) running.set(name, await startContender(name, room, work, app.port));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    app,
    get(name) {
      const contender = running.get(name);
      if (contender === undefined) throw new Error(`${name} was not started`);
      return contender;
    },
    close,
  };
}

/** Starts one; TCP is for Heddle and Envoy alone. */
export async function startContender(
  name: ContenderName,
  room: Room,
  work: Pick<Work, "app" | "hops" | "mode">,
  upstream: number,
): Promise<Contender> {
  const { collector, folder, certificates } = room;
  const protocol = work.app === "tcp" ? "tcp" : work.app === "h1" ? "http1" : "http2";
  if (name !== "heddle" && name !== "envoy") {
    if (protocol === "tcp") throw new Error(`${name} has no configuration for opaque TCP`);
    return await startPeer(name, { protocol, upstream, folder });
  }
  const tls: Pick<ProxySetup, "tls"> = work.mode === undefined ? {} : { tls: { mode: work.mode, certificates } };
  return await startProxy(name, { protocol, upstream, collector, folder, hops: work.hops ?? 1, ...tls });
}
