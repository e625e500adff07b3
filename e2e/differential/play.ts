// Plays the requests of a case at one proxy and writes down what came of each.
import { Client, type Fields, type Reply } from "./client.ts";
import type { Step, Wanted } from "./case-schema.ts";
import type { Pair, Side } from "./pair.ts";
import type { Prepared } from "./prepare.ts";
import { substitute } from "./tokens.ts";
import { EXCHANGE_FIELD, type Sighting } from "./upstream.ts";
import { failuresOf, inBounds } from "./wanted.ts";

/** One request, its answer, and what the applications saw of it. */
export interface Exchange extends Reply {
  /** What the case expects of it. */
  readonly wanted: Wanted;
  /** Who answered; null: the proxy. */
  readonly upstream: string | null;
  readonly seen: readonly Sighting[];
}

/** For each step the exchanges in the order of their numbers. */
export type Played = readonly (readonly Exchange[])[];

const UNTIL_LIMIT_MS = 15_000;
const CALLS_LIMIT_MS = 5000;

export async function play({ body, prefix, sightings }: Prepared, pair: Pair, side: Side): Promise<Played> {
  const client = new Client(pair.port(side, prefix));
  const saved = new Map<string, string>();
  const running: Promise<readonly Exchange[]>[] = [];
  try {
    for (const [index, step] of body.requests.entries()) {
      const one = (i: number, round = 0): Promise<Exchange> =>
        exchange(client, fill(step, i, saved), `${side}-${index}-${i}-${round}`, sightings, prefix);
      const result = playStep(step, one);
      running.push(result);
      if (step.background === true) {
        // Its failure is seen at the end.
        result.catch(() => undefined);
        continue;
      }
      save(step, await result, saved);
    }
    return await Promise.all(running);
  } finally {
    client.close();
  }
}

type SendOne = (i: number, round?: number) => Promise<Exchange>;

async function playStep(step: Step, one: SendOne): Promise<readonly Exchange[]> {
  if (step.waitMs !== undefined) await pause(step.waitMs);
  if (step.path === undefined && step.waitMs !== undefined) return [];
  if (step.until === true) return [await repeat(one)];
  const numbers = Array.from({ length: step.count ?? 1 }, (_, i) => i);
  if (step.parallel === true) return await Promise.all(numbers.map((i) => one(i)));
  const exchanges: Exchange[] = [];
  for (const i of numbers) exchanges.push(await one(i));
  return exchanges;
}

async function repeat(one: SendOne): Promise<Exchange> {
  const endMs = performance.now() + UNTIL_LIMIT_MS;
  for (let round = 0; ; round++) {
    const last = await one(0, round);
    if (failuresOf(last).length === 0 || performance.now() > endMs) return last;
    await pause(20);
  }
}

async function exchange(
  client: Client,
  step: Step,
  id: string,
  sightings: ReadonlyMap<string, Sighting[]>,
  prefix: string,
): Promise<Exchange> {
  const reply = await client.send(step, { [EXCHANGE_FIELD]: id });
  const wanted = step.until === true ? {} : (step.expect?.calls ?? {});
  const endMs = performance.now() + CALLS_LIMIT_MS;
  const seen = (): readonly Sighting[] => sightings.get(id) ?? [];
  // A mirror may come after the answer.
  while (!inBounds(wanted, seen().length) && performance.now() < endMs) await pause(10);
  const found = { ...reply, upstream: reply.headers["x-upstream"]?.[0] ?? null, seen: [...seen()] };
  return { ...withoutPrefix(found, prefix), wanted: step.expect ?? {} };
}

/** Clusters have their own names again. */
function withoutPrefix<T>(value: T, prefix: string): T {
  const own = new RegExp(`\\b${prefix}_`, "g");
  const visit = (node: unknown): unknown => {
    if (typeof node === "string") return node.length > 10_000 ? node : node.replaceAll(own, "");
    if (Array.isArray(node)) return node.map(visit);
    if (typeof node !== "object" || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, visit(item)]));
  };
  return visit(value) as T; // as: the shape stays
}

function fill(step: Step, i: number, saved: ReadonlyMap<string, string>): Step {
  return substitute(step, new Map<string, string>([["i", String(i)], ...saved]));
}

function save(step: Step, exchanges: readonly Exchange[], saved: Map<string, string>): void {
  const headers: Fields = exchanges.at(-1)?.headers ?? {};
  for (const [name, { header, matches }] of Object.entries(step.save ?? {})) {
    const value = headers[header.toLowerCase()]?.join(", ") ?? "";
    saved.set(`saved.${name}`, matches === undefined ? value : (new RegExp(matches).exec(value)?.[1] ?? ""));
  }
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}
