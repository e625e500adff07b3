// Rows of bytes: bodies of 64 MiB down and up, and opaque TCP; CPU per MiB.
import { type Column, type Comparison, type OpenRow, type Room, type Row, type Sample } from "../row.ts";
import { meterLoad, type Metered } from "../tools/load.ts";
import { startField, type Field, type Work } from "./requests.ts";

export const BODY_BYTES = 64 * 2 ** 20;
const BODIES = 4;
/** At a time, each on a connection of its own. */
const PARALLEL = 2;
const MIB = 2 ** 20;

const CORES: readonly Column[] = [
  { key: "rss", title: "RSS MiB (most)", digits: 0 },
  { key: "proxyCore", title: "proxy core busy %", digits: 0 },
  { key: "loadCore", title: "load core busy %", digits: 0 },
];

export interface BulkRow {
  readonly name: string;
  readonly title: string;
  readonly protocol: "h1" | "h2";
  readonly target: number;
  /** Over the mesh path, with mutual TLS in its middle. */
  readonly overMesh?: boolean;
}

export function bulkRow({ name, title, protocol, target, overMesh = false }: BulkRow): Row {
  const work: Work = {
    app: protocol,
    program: "load",
    options: ["-protocol", protocol, "-connections", String(PARALLEL), "-requests", String(BODIES)],
    ...(overMesh ? { hops: 2, mode: "strict" } : {}),
  };
  const compare = (figure: string, where: string): Comparison => ({
    work: `${title}, ${where}`,
    figure,
    ratio: "theirs/ours",
    target: { least: target },
  });
  return {
    name,
    title,
    contenders: ["heddle", "envoy"],
    tools: [],
    columns: [
      { key: "down", title: "down: CPU us per MiB", digits: 0 },
      { key: "up", title: "up: CPU us per MiB", digits: 0 },
      { key: "downRate", title: "down MiB/s", digits: 0 },
      { key: "upRate", title: "up MiB/s", digits: 0 },
      ...CORES,
    ],
    comparisons: [compare("down", "down"), compare("up", "up")],
    notes: [`${BODIES} bodies of 64 MiB in each direction and round, ${PARALLEL} at a time.`],
    open: (room) => openBulk(room, work),
  };
}

async function openBulk(room: Room, work: Work): Promise<OpenRow> {
  const field = await startField(room, work, BODY_BYTES);
  const measure = async (contender: string): Promise<Sample> => {
    const down = await transfer(field, contender, work, []);
    const up = await transfer(field, contender, work, ["-upload", String(BODY_BYTES)]);
    const mib = (BODIES * BODY_BYTES) / MIB;
    return {
      down: down.cpuMicros / mib,
      up: up.cpuMicros / mib,
      downRate: mib / down.seconds,
      upRate: mib / up.seconds,
      rss: Math.max(down.rssMib, up.rssMib),
      proxyCore: Math.max(down.proxyCore, up.proxyCore),
      loadCore: Math.max(down.loadCore, up.loadCore),
    };
  };
  return {
    warmUp: async (contender) => void (await measure(contender)),
    measure,
    notes: () => [],
    close: () => field.close(),
  };
}

async function transfer(
  field: Field,
  contender: string,
  { options, program }: Work,
  more: readonly string[],
): Promise<Metered> {
  return await meterLoad(field.get(contender), program, [...options, ...more], field.app);
}

/** Opaque bytes there and back, without a protocol. */
export function tcpRow(target: number): Row {
  const work: Work = {
    app: "tcp",
    program: "tcp",
    options: ["-size", String(BODY_BYTES), "-requests", String(BODIES)],
  };
  return {
    name: "tcp",
    title: "Opaque TCP, 64 MiB there and back on each connection",
    contenders: ["heddle", "envoy"],
    tools: [],
    columns: [
      { key: "cpu", title: "CPU us per MiB", digits: 0 },
      { key: "mibRate", title: "MiB/s", digits: 0 },
      ...CORES,
    ],
    comparisons: [{ work: "opaque TCP, CPU per MiB", figure: "cpu", ratio: "theirs/ours", target: { least: target } }],
    notes: [],
    open: (room) => openTcp(room, work),
  };
}

async function openTcp(room: Room, work: Work): Promise<OpenRow> {
  const field = await startField(room, work, BODY_BYTES);
  const measure = async (contender: string): Promise<Sample> => {
    const metered = await meterLoad(field.get(contender), work.program, work.options);
    const mib = metered.bytes / MIB;
    return {
      cpu: metered.cpuMicros / mib,
      mibRate: mib / metered.seconds,
      rss: metered.rssMib,
      proxyCore: metered.proxyCore,
      loadCore: metered.loadCore,
    };
  };
  return {
    warmUp: async (contender) => void (await measure(contender)),
    measure,
    notes: () => [],
    close: () => field.close(),
  };
}
