// Gives memory back that the process holds and does not use, once configuration has settled: what the C library kept of what was freed,
// and the pages of Node's own code that only the start ran.
import fs from "node:fs";

import { loadLibc } from "#lib/libc.ts";

interface Libc {
  malloc_trim(pad: bigint): number;
  madvise(address: bigint, length: bigint, advice: number): number;
}

const MADV_DONTNEED = 4;

interface Region {
  readonly start: bigint;
  readonly end: bigint;
}

let libc: Libc | null | undefined;

/**
 * Linux with glibc; elsewhere nothing happens. Pages of code are read again from the page cache, 64 KiB at a fault, when they are run
 * again; only what no other process maps leaves the machine's memory by that, and only when somebody needs the room.
 */
export function releaseMemory(): void {
  libc ??= tryLoad();
  if (libc === null) return;
  libc.malloc_trim(0n);
  for (const { start, end } of codeOf(process.execPath, fs.readFileSync("/proc/self/smaps", "latin1")))
    libc.madvise(start, end - start, MADV_DONTNEED);
}

function tryLoad(): Libc | null {
  try {
    return loadLibc<Libc>({
      malloc_trim: { return: "int32", arguments: ["uint64"] },
      madvise: { return: "int32", arguments: ["uint64", "uint64", "int32"] },
    });
  } catch {
    return null;
  }
}

/**
 * Where the code of `program` is mapped and is as the file has it. What was written to, as a debugger does for its breakpoints, must
 * stay: the file does not have it.
 */
export function codeOf(program: string, smaps: string): readonly Region[] {
  const regions: Region[] = [];
  for (const [, start = "", end = "", file, figures = ""] of smaps.matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +(.+)\n((?:[A-Z].*\n?)+)/gm,
  ))
    if (file === program && /^Private_Dirty: +0 kB$/m.test(figures) && /^Anonymous: +0 kB$/m.test(figures))
      regions.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) });
  return regions;
}
