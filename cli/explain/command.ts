// `heddle explain`: asks every proxy what it remembers of a request, and tells it as one story.
import { adminOptions, findAdmins, type AdminTarget } from "../admin-addresses.ts";
import { parseWhole } from "../arguments.ts";
import { exitCodes, makeCommand, type Context, type ExitCode } from "../command.ts";
import { getJson, UnreachableError } from "../http-json.ts";
import { inOrder, isFailure, parseExplainAnswer, type ExplainAnswer, type Hop } from "./records.ts";
import { decisiveHop, tellCause, tellStory } from "./story.ts";

/** How far back each proxy looks for failures; it keeps 2048 records a thread. */
const LOOK_BACK = 2048;

export const explainCommand = makeCommand({
  name: "explain",
  summary: "says why a request was answered as it was",
  usage: "[REQUEST-ID] [--admin ADDR]... [--config FOLDER] [--state DIR]",
  details: `Asks every proxy what it remembers of the request and joins what they say across hops: who answered, by which rule, which
endpoints were tried and when, and under which version of the configuration. REQUEST-ID is in the x-request-id header of every
answer that a proxy makes itself, in the requests that applications get, in access logs and in spans. Without it, the latest failures
are listed, newest first.`,
  options: {
    ...adminOptions,
    count: { type: "string", default: "10", value: "N", help: "how many failures to list" },
    format: { type: "string", default: "text", value: "FORMAT", help: "text, or json: the records themselves" },
  },
  examples: [
    ["heddle explain 7f0c2f8e-6f0b-4f43-9df0-1e2f3a4b5c6d", "in the mesh that `heddle up` runs from this folder"],
    ["heddle explain 7f0c2f8e-6f0b-4f43-9df0-1e2f3a4b5c6d --admin 127.0.0.1:15000", "one proxy's part of it"],
    ["heddle explain --config mesh", "the latest failures, whatever they were"],
  ],
  exits: { 1: "no proxy remembers the request", 3: "no proxy answers" },
  positionals: { least: 0, most: 1 },
  async run({ values, positionals }, context) {
    const most = parseWhole(values.count, "--count", 1, 1000);
    const targets = await findAdmins(values, context);
    const requestId = positionals[0];
    const query = requestId === undefined ? `count=${LOOK_BACK}` : `id=${encodeURIComponent(requestId)}`;
    const { answers, unreachable } = await askAll(targets, query);
    const hops = answers.flatMap((answer) => answer.hops);
    if (values.format === "json") {
      context.write(`${JSON.stringify(inOrder(hops), undefined, 2)}\n`);
      return hops.length === 0 && requestId !== undefined ? exitCodes.failed : exitCodes.done;
    }
    const code = requestId === undefined ? listFailures(hops, most, context) : tell(requestId, hops, targets, context);
    for (const answer of answers) for (const finding of answer.findings) context.write(`\nNote: ${finding}.\n`);
    if (unreachable.length > 0) context.writeError(`Not asked, no answer: ${unreachable.join(", ")}\n`);
    return code;
  },
});

function tell(requestId: string, hops: readonly Hop[], targets: readonly AdminTarget[], context: Context): ExitCode {
  if (hops.length === 0) {
    context.writeError(
      `No proxy remembers the request "${requestId}": ${targets.length} were asked; each keeps the last ${LOOK_BACK} that it refused, repeated, saw fail or found slow\n`,
    );
    return exitCodes.failed;
  }
  context.write(tellStory(hops));
  return exitCodes.done;
}

function listFailures(hops: readonly Hop[], most: number, context: Context): ExitCode {
  const byRequest = Map.groupBy(hops.filter(isFailure), ({ requestId }) => requestId);
  const failures = [...byRequest]
    .map(([requestId, group]) => ({ requestId, hop: decisiveHop(inOrder(group)) }))
    .toSorted((left, right) => Date.parse(right.hop?.time ?? "") - Date.parse(left.hop?.time ?? ""));
  if (failures.length === 0) context.write("No proxy remembers a failure.\n");
  for (const { requestId, hop } of failures.slice(0, most)) {
    if (hop !== undefined) context.write(`${hop.time}  ${requestId}\n    ${tellCause(hop)}\n`);
  }
  if (failures.length > most) context.write(`and ${failures.length - most} more (--count N)\n`);
  return exitCodes.done;
}

interface Asked {
  readonly answers: readonly ExplainAnswer[];
  readonly unreachable: readonly string[];
}

/** @throws {UnreachableError} when nobody answered. */
async function askAll(targets: readonly AdminTarget[], query: string): Promise<Asked> {
  const asked = await Promise.allSettled(
    targets.map(async ({ id, address }) => {
      const answer = parseExplainAnswer(await getJson(address, `/explain?${query}`));
      return answer.node === "" ? { ...answer, node: id } : answer;
    }),
  );
  const answers: ExplainAnswer[] = [];
  const unreachable: string[] = [];
  for (const [index, one] of asked.entries()) {
    if (one.status === "fulfilled") answers.push(one.value);
    else unreachable.push(targets[index]?.address ?? "");
  }
  if (answers.length === 0) throw new UnreachableError(`No proxy answers: asked ${unreachable.join(", ")}`);
  return { answers, unreachable };
}
