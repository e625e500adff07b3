// A fast hash of strings, for rings and tables; not for secrets.

const PRIME1 = 0x9e3779b1;
const PRIME2 = 0x85ebca77;
const PRIME3 = 0xc2b2ae3d;
const PRIME4 = 0x27d4eb2f;
const PRIME5 = 0x165667b1;

/** 32 bits, unsigned, of a string's UTF-16 code units, mixed as xxHash32 mixes its tail and its end. */
export function hashString(text: string, seed = 0): number {
  let hash = (seed + PRIME5 + text.length) | 0;
  for (let i = 0; i < text.length; i++) {
    hash = (hash + Math.imul(text.charCodeAt(i), PRIME3)) | 0;
    hash = Math.imul((hash << 17) | (hash >>> 15), PRIME4);
  }
  return avalanche(hash);
}

/** Another 32 bits of a hash and a number: the n-th point of the same key. */
export function hashPair(hash: number, n: number): number {
  let mixed = (hash ^ Math.imul(n + 1, PRIME1)) | 0;
  mixed = Math.imul((mixed << 13) | (mixed >>> 19), PRIME3);
  return avalanche(mixed);
}

/** Spreads any number (also one above 2^32) over 32 bits, unsigned. */
export function hashNumber(value: number): number {
  return avalanche((Math.imul(value | 0, PRIME2) ^ Math.imul((value / 4294967296) | 0, PRIME4)) | 0);
}

function avalanche(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 15), PRIME2);
  mixed = Math.imul(mixed ^ (mixed >>> 13), PRIME3);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
