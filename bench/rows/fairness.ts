// A row of fairness: small clients beside one that uploads 1 GiB as fast as it can.
import { type OpenRow, type Room, type Row } from "../row.ts";
import { runLoad } from "../tools/load.ts";
import { startField, type Work } from "./requests.ts";

const UPLOAD_BYTES = 2 ** 30;
/** Requests per second of all small clients together: far from what anybody can do. */
const RATE = 1000;
/** What an upload may cost the others, times their undisturbed p99. */
const GOAL = 3;

const SMALL: Work = { app: "h1", program: "load", options: ["-protocol", "h1", "-connections", "32"] };

export const fairnessRow: Row = {
  name: "fairness",
  title: "One upload of 1 GiB beside 32 small clients, HTTP/1.1",
  contenders: ["heddle", "envoy"],
  tools: [],
  columns: [
    { key: "alone", title: "p99 ms, undisturbed", digits: 2 },
    { key: "beside", title: "p99 ms, beside the upload", digits: 2 },
    { key: "times", title: "times undisturbed", digits: 2 },
    { key: "longest", title: "longest ms, beside the upload", digits: 2 },
    { key: "upload", title: "upload MiB/s", digits: 0 },
  ],
  comparisons: [
    {
      work: "p99 of small clients beside an upload of 1 GiB",
      figure: "beside",
      ratio: "ours/theirs",
      target: { most: 1 },
    },
  ],
  notes: [
    `The small clients ask ${RATE} times a second together. The goal is at most ${GOAL} times their undisturbed p99; the upload and the`,
    "small clients share the load core, so that part of what is lost is lost there, at each contender alike.",
  ],
  open,
};

async function open(room: Room): Promise<OpenRow> {
  const field = await startField(room, SMALL);
  const times: number[] = [];
  const ask = async (port: number, seconds: number) =>
    await runLoad(SMALL.program, [...SMALL.options, ...at(port), "-seconds", String(seconds), "-rate", String(RATE)]);
  return {
    warmUp: async (contender) => void (await ask(field.get(contender).port, 2)),
    async measure(contender, seconds) {
      const { port } = field.get(contender);
      const alone = await ask(port, seconds);
      const upload = ["-protocol", "h1", "-connections", "1", "-requests", "1", "-upload", String(UPLOAD_BYTES)];
      const [beside, sent] = await Promise.all([ask(port, seconds), runLoad(SMALL.program, [...at(port), ...upload])]);
      if (contender === "heddle") times.push(beside.p99Us / alone.p99Us);
      return {
        alone: alone.p99Us / 1000,
        beside: beside.p99Us / 1000,
        times: beside.p99Us / alone.p99Us,
        longest: beside.maxUs / 1000,
        upload: UPLOAD_BYTES / 2 ** 20 / sent.seconds,
      };
    },
    notes: () => [`Heddle: ${times.map((each) => each.toFixed(2)).join(", ")} times undisturbed, goal ${GOAL}.`],
    close: () => field.close(),
  };
}

function at(port: number): readonly string[] {
  return ["-address", `127.0.0.1:${port}`];
}
