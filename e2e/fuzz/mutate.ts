// Changes to bytes that need to know nothing of what they mean.
import type { Random } from "#lib/random.ts";

import { below, pick } from "./target.ts";

const EDGES: readonly number[] = [0, 1, 9, 10, 13, 32, 58, 59, 127, 128, 254, 255];

/** One change; `others` gives material for splices. */
export function mutateBytes(
  input: Buffer,
  random: Random,
  words: readonly (string | Buffer)[],
  others: readonly Buffer[],
): Buffer {
  const at = below(random, input.length + 1);
  const until = Math.min(input.length, at + 1 + below(random, random.next() < 0.8 ? 8 : 256));
  const before = input.subarray(0, at);
  const piece = input.subarray(at, until);
  const behind = input.subarray(until);
  switch (below(random, 9)) {
    case 0:
      return Buffer.concat([before, Buffer.from([pick(random, EDGES)]), input.subarray(at + 1)]);
    case 1:
      return Buffer.concat([before, Buffer.from([(input[at] ?? 0) ^ (1 << below(random, 8))]), input.subarray(at + 1)]);
    case 2:
      return Buffer.concat([before, behind]);
    case 3:
      return Buffer.concat([before, piece, piece, behind]);
    case 4:
      return before;
    case 5: {
      const other = others.length === 0 ? input : pick(random, others);
      return Buffer.concat([before, other.subarray(below(random, other.length + 1))]);
    }
    case 6: {
      const to = below(random, before.length + behind.length + 1);
      const rest = Buffer.concat([before, behind]);
      return Buffer.concat([rest.subarray(0, to), piece, rest.subarray(to)]);
    }
    case 7:
      return Buffer.concat([before, Buffer.from([below(random, 256)]), input.subarray(at)]);
    default: {
      const word = words.length === 0 ? Buffer.from([pick(random, EDGES)]) : pick(random, words);
      const bytes = typeof word === "string" ? Buffer.from(word, "latin1") : word;
      return Buffer.concat([before, bytes, random.next() < 0.5 ? input.subarray(at) : behind]);
    }
  }
}

/** Changes to a text of lines: one is left out, doubled, or changes places. */
export function mutateLines(input: Buffer, random: Random, separator: string): Buffer {
  const lines = input.toString("latin1").split(separator);
  const i = below(random, lines.length);
  const line = lines[i] ?? "";
  switch (below(random, 4)) {
    case 0:
      lines.splice(i, 1);
      break;
    case 1:
      lines.splice(i, 0, line);
      break;
    case 2:
      lines[i] = lines[below(random, lines.length)] ?? "";
      break;
    default:
      lines.splice(i, 1);
      lines.splice(below(random, lines.length + 1), 0, line);
  }
  return Buffer.from(lines.join(separator), "latin1");
}
