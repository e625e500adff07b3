// Whether a target's time grows faster than its input: a piece of one is repeated to n, 2n and 4n octets, the quickest of some runs
// counts. Four times the input may take ten times as long (a line takes 4, a square 16), and only what takes long at all matters.
import type { Random } from "#lib/random.ts";

import { below, type Target } from "./target.ts";

const LARGEST = 32 * 1024;
const FACTOR = 10;
const MIN_MS = 40;
/** It must be seen so often: this machine may have been busy with something else. */
const LOOKS = 4;

export async function findSlowness(
  target: Target,
  input: Buffer,
  random: Random,
): Promise<{ readonly input: Buffer; readonly message: string } | undefined> {
  if (input.length === 0) return undefined;
  const at = below(random, input.length);
  const piece = input.subarray(at, at + 1 + below(random, 40));
  const grown = (bytes: number): Buffer =>
    Buffer.concat([input.subarray(0, at), Buffer.alloc(bytes, piece), input.subarray(at + piece.length)]);
  const large = grown(LARGEST);
  for (let look = 0; look < LOOKS; look++) {
    // oxlint-disable-next-line no-await-in-loop -- nothing else may run meanwhile
    const [small, big] = [await quickest(target, grown(LARGEST / 4)), await quickest(target, large)];
    if (big < MIN_MS || big < small * FACTOR) return undefined;
    if (look < LOOKS - 1) continue;
    const message = `${big.toFixed(0)} ms for ${LARGEST} octets, ${small.toFixed(1)} ms for a quarter of them`;
    return { input: large, message };
  }
  return undefined;
}

async function quickest(target: Target, input: Buffer): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    // oxlint-disable-next-line no-await-in-loop
    await target.run(input);
    best = Math.min(best, performance.now() - began);
  }
  return best;
}
