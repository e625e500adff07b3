// Rows of new mutual-TLS connections: each says hello in HTTP/2, waits for the proxy's SETTINGS and closes.
import type { OpenRow, Room, Row, Sample } from "../row.ts";
import { meterLoad } from "../tools/load.ts";
import { startField, type Work } from "./requests.ts";

export interface HandshakeRow {
  readonly name: string;
  readonly mode: "strict" | "permissive";
  readonly isResumed: boolean;
  readonly target: number;
}

export function handshakeRow({ name, mode, isResumed, target }: HandshakeRow): Row {
  const kind = isResumed ? "resumed" : "full handshake";
  const title = `New mutual-TLS connections, ${kind}, ${mode.toUpperCase()} port`;
  const work: Work = {
    app: "h2",
    program: "handshakes",
    options: isResumed ? ["-resume"] : [],
    mode,
  };
  return {
    name,
    title,
    contenders: ["heddle", "envoy"],
    tools: [],
    columns: [
      { key: "rate", title: "connections/s", digits: 0 },
      { key: "cpu", title: "CPU us per connection", digits: 0 },
      { key: "p50", title: "p50 ms", digits: 2 },
      { key: "p99", title: "p99 ms", digits: 2 },
      { key: "proxyCore", title: "proxy core busy %", digits: 0 },
      { key: "loadCore", title: "load core busy %", digits: 0 },
    ],
    comparisons: [
      { work: `${title}: CPU per connection`, figure: "cpu", ratio: "theirs/ours", target: { least: target } },
      { work: `${title}: connections per second`, figure: "rate", ratio: "ours/theirs", target: { least: target } },
    ],
    notes: ["Where the load core was full, the client's own half of the handshake was the limit: CPU is what counts."],
    open: (room) => openHandshakes(room, work),
  };
}

async function openHandshakes(room: Room, work: Work): Promise<OpenRow> {
  const field = await startField(room, work);
  const negotiated = new Map<string, string>();
  const measure = async (contender: string, seconds: number): Promise<Sample> => {
    const options = [...work.options, "-certificates", room.certificates.folder, "-seconds", String(seconds)];
    const metered = await meterLoad(field.get(contender), work.program, options);
    negotiated.set(contender, metered.suite ?? "unknown");
    return {
      rate: metered.requests / metered.seconds,
      cpu: metered.cpuMicros / metered.requests,
      p50: metered.p50Us / 1000,
      p99: metered.p99Us / 1000,
      proxyCore: metered.proxyCore,
      loadCore: metered.loadCore,
    };
  };
  return {
    warmUp: async (contender) => void (await measure(contender, 2)),
    measure,
    notes: () => [...negotiated].map(([name, suite]) => `${name} negotiated ${suite}, certificates ECDSA P-256.`),
    close: () => field.close(),
  };
}
