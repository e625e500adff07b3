// Buckets of one definition: where they lie, and what becomes of them when the definition changes.
import { hashString } from "#lib/hash.ts";
import { KeyedBuckets, keyedBucketCells } from "#lib/keyed-buckets.ts";
import { TOKEN_BUCKET_CELLS, TokenBucket, type TokenBucketSpec, type TokenVerdict } from "#lib/token-bucket.ts";

import type { FilterContext } from "../filter.ts";

/** One bucket, or one for each key. */
export interface Buckets {
  readonly spec: TokenBucketSpec;
  take(key: string, nowMs: number, tokens?: number): TokenVerdict;
  giveBack(key: string, nowMs: number, tokens?: number): void;
  /** Ms until it is full again. */
  resetMs(key: string, nowMs: number): number;
}

/** What a worker has under a name: the next definition of that name takes over from it. */
interface Current<T> {
  definition: string;
  value: T | undefined;
}

/** One bucket for all; `name` is its own in this proxy. */
export function openBucket(context: FilterContext, name: string, spec: TokenBucketSpec): Buckets {
  const bucket = open<TokenBucket>(context, name, spec, TOKEN_BUCKET_CELLS, (cells, before, nowMs) => {
    const made = new TokenBucket(spec, cells);
    if (before !== undefined) made.drainTo(before.emptiness(nowMs), nowMs);
    return made;
  });
  return {
    spec,
    take: (_key, nowMs, tokens) => bucket.tryTake(nowMs, tokens),
    giveBack: (_key, nowMs, tokens) => bucket.giveBack(nowMs, tokens),
    resetMs: (_key, nowMs) => bucket.peek(nowMs).resetMs,
  };
}

/** One for each key; at least `maxKeys` are kept. */
export function openKeyedBuckets(
  context: FilterContext,
  name: string,
  spec: TokenBucketSpec,
  maxKeys: number,
): Buckets {
  const table = open<KeyedBuckets>(context, name, spec, keyedBucketCells(maxKeys), (cells, before, nowMs) => {
    const made = new KeyedBuckets(spec, cells);
    if (before !== undefined) made.succeed(before, nowMs);
    return made;
  });
  return {
    spec,
    take: (key, nowMs, tokens) => table.tryTake(key, nowMs, tokens),
    giveBack: (key, nowMs, tokens) => table.giveBack(key, nowMs, tokens),
    resetMs: (key, nowMs) => table.resetMs(key, nowMs),
  };
}

/**
 * A bucket whose definition changes is as full, in share, as it was: neither is a client that had used up its tokens given new
 * ones, nor is one refused that had not. It moves into other cells, since workers that have not heard of the change go on in the
 * old ones; two sets of them take turns, so that changes cost no memory.
 */
function open<T>(
  context: FilterContext,
  name: string,
  spec: TokenBucketSpec,
  count: number,
  make: (cells: Int32Array, before: T | undefined, nowMs: number) => T,
): T {
  const definition = `${spec.maxTokens}/${spec.tokensPerFill}/${spec.fillIntervalMs}/${count}`;
  const current = context.keep<Current<T>>(`rate-limit/${name}/${count}`, "", () => ({
    definition: "",
    value: undefined,
  }));
  if (current.value !== undefined && current.definition === definition) return current.value;
  const set = chooseSet(context, `rate-limit/${name}/${count}`, definition, count);
  const made = make(set, current.value, context.clock.nowMs());
  current.definition = definition;
  current.value = made;
  return made;
}

/** One cell says whose turn it is: the hash of the definition in force, and in its last bit which set of cells it has. */
function chooseSet(context: FilterContext, name: string, definition: string, count: number): Int32Array {
  const turn = context.cells(`${name}#turn`, 1);
  const hash = (hashString(definition) | 2) & ~1;
  for (;;) {
    const current = Atomics.load(turn, 0);
    if (current !== 0 && (current & ~1) === (hash | 0)) return context.cells(`${name}#${current & 1}`, count);
    const next = current === 0 ? 0 : (current & 1) ^ 1;
    if (Atomics.compareExchange(turn, 0, current, hash | next) !== current) continue;
    const cells = context.cells(`${name}#${next}`, count);
    if (current !== 0) cells.fill(0);
    return cells;
  }
}
