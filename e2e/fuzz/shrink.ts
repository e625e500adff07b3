// Makes a failing input small: pieces are left out, then octets made plain, as long as it fails in the same way.

const MAX_MS = 20_000;
const PLAIN = 0x61;

export async function shrink(input: Buffer, stillFails: (smaller: Buffer) => Promise<boolean>): Promise<Buffer> {
  const began = performance.now();
  const isOver = (): boolean => performance.now() - began > MAX_MS;
  let best = input;
  for (let size = Math.ceil(best.length / 2); size >= 1 && !isOver(); size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length && !isOver();) {
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      // Each step begins from what the one before has left.
      // oxlint-disable-next-line no-await-in-loop
      if (await stillFails(smaller)) best = smaller;
      else at += size;
    }
  }
  for (let at = 0; at < best.length && !isOver(); at++) {
    if (best[at] === PLAIN) continue;
    const plainer = Buffer.from(best);
    plainer[at] = PLAIN;
    // oxlint-disable-next-line no-await-in-loop
    if (await stillFails(plainer)) best = plainer;
  }
  return best;
}
