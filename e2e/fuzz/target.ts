// What a fuzz target is: a parser, beginnings to work from, and the promises that it must keep for every input.
import type { Random } from "#lib/random.ts";

export interface Target {
  readonly name: string;
  /** Parts of the paths of the files whose branches are looked at: an input that takes a new one is kept. */
  readonly covers: readonly string[];
  readonly seeds: () => readonly Buffer[] | Promise<readonly Buffer[]>;
  /** Pieces that this grammar is made of. */
  readonly words?: readonly (string | Buffer)[];
  /** Changes an input where its structure is. Half of all mutations; the others know nothing of structure. */
  readonly mutate?: (input: Buffer, random: Random) => Buffer;
  /** Default 4096. */
  readonly maxBytes?: number;
  /** Its time must grow with the input's length, not with its square. */
  readonly isLinear?: boolean;
  /** Throws when a promise is broken. Gives a word for what happened: an input with a new word is kept. */
  run(input: Buffer): string | Promise<string>;
}

/** A whole number below `limit`. */
export function below(random: Random, limit: number): number {
  return Math.floor(random.next() * limit);
}

export function pick<T>(random: Random, list: readonly T[]): T {
  const item = list[below(random, list.length)];
  if (item === undefined) throw new Error("there is nothing to pick from");
  return item;
}

/** Chance that depends on the input alone, so that an input does the same whenever it is replayed. */
export function seedOf(input: Buffer): number {
  let hash = 0x811c9dc5;
  for (const byte of input) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash | 0 || 1;
}

/** The input in pieces: whole; cut at some places; and, of a third of the short ones, octet by octet. */
export function cuttings(input: Buffer, random: Random): readonly (readonly Buffer[])[] {
  const ways: Buffer[][] = [[input]];
  if (input.length > 0 && input.length <= 600 && random.next() < 0.3)
    ways.push(Array.from(input, (_, i) => input.subarray(i, i + 1)));
  for (let way = 0; way < 2; way++) {
    const cuts = Array.from({ length: 1 + below(random, 4) }, () => below(random, input.length + 1));
    const places = [0, ...cuts.toSorted((a, b) => a - b), input.length];
    ways.push(places.slice(1).map((end, i) => input.subarray(places[i], end)));
  }
  return ways;
}

/** Lets so many microtasks run: codecs go on in one with what they held back. */
export async function runMicrotasks(count: number): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** Numbers and quoted text do not make another behaviour. */
export function blur(text: string): string {
  return text
    .replaceAll(/"[^"]*"/g, '""')
    .replaceAll(/0x[0-9a-f]+|\d+/g, "0")
    .slice(0, 120);
}
