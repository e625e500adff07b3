// HPACK's Huffman code (RFC 7541 §5.2, Appendix B): checks relayed bytes without decoding them, decodes when somebody asks.

/** The length in bits of each symbol's code, 256 being EOS. The code is canonical, so the lengths say everything. */
// prettier-ignore
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const EOS = 256;

/** What kinds of characters a value holds; or-ed together over the value. */
export const CLASS_CONTROL = 1;
export const CLASS_SPACE = 2;
export const CLASS_HIGH = 4;
export const CLASS_AT = 8;

/** The class of each octet: controls other than HTAB are in no header (RFC 9110 §5.5, RFC 9113 §8.2.1). */
const OCTET_CLASS: Uint8Array = makeOctetClasses();

/*
 * A window of twelve bits is looked up whole: it begins with one or two complete codes, unless its first code is longer. The table
 * of 16 KiB stays in the first cache, where one of states and octets (128 KiB) does not.
 *
 *   WINDOWS:  bits that the codes take (0-4) | classes (5-8) | first symbol (9-16) | second (17-24) | how many (25-26)
 *             0 = the first code is longer than the window
 */
const WINDOW_BITS = 12;
const WINDOW_MASK = (1 << WINDOW_BITS) - 1;
const CLASSES_SHIFT = 5;
const FIRST_SHIFT = 9;
const SECOND_SHIFT = 17;
const COUNT_SHIFT = 25;
const CODES = makeCodes();
/** Of each length: the first code, and behind its last. Symbols of one length have codes in a row. */
const FIRST_CODES = new Int32Array(32);
const LAST_CODES = new Int32Array(32);
const BY_LENGTH: readonly (readonly number[])[] = groupByLength();
const WINDOWS = buildWindows();

/**
 * Checks a Huffman-coded string: -1 when it holds EOS or its padding is wrong, else its decoded length shifted left by
 * 4, or-ed with the classes of its characters.
 */
export function scanHuffman(bytes: Uint8Array, start: number, end: number): number {
  return decodeInto(bytes, start, end, scratchFor(end - start));
}

/** The last bits of a string at the front of a window, and ones behind them. */
function padded(window: number, bits: number): number {
  const missing = WINDOW_BITS - bits;
  return ((window << missing) | ((1 << missing) - 1)) & WINDOW_MASK;
}

const long = { symbol: 0, next: 0 };

/** Reads a code of more than a window's bits into `long`; false = it is EOS, or has no end. Positions in bits. */
function readLong(bytes: Uint8Array, from: number, end: number): boolean {
  let code = 0;
  for (let at = from, length = 1; at < end && length <= 30; at++, length++) {
    code = (code << 1) | (((bytes[at >> 3] ?? 0) >> (7 - (at & 7))) & 1);
    if (code >= (LAST_CODES[length] ?? 0)) continue;
    const symbol = BY_LENGTH[length]?.[code - (FIRST_CODES[length] ?? 0)] ?? EOS;
    if (symbol === EOS) return false;
    long.symbol = symbol;
    long.next = at + 1;
    return true;
  }
  return false;
}

/**
 * False when no blank can begin or end the string. A blank's code (SP 010100, HTAB 1111 1111 1111 1111 1110 1010) ends in 0, so
 * that the ones behind the last code are its padding; another code that ends in the same bits makes this true for nothing.
 */
export function mayTouchBlank(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] ?? 0;
  if (first >> 2 === 0x14 || first === 0xff) return true;
  let tail = ((bytes[end - 2] ?? 0) << 8) | (bytes[end - 1] ?? 0);
  while ((tail & 1) === 1) tail >>= 1;
  return (tail & 0x3f) === 0x14 || (tail & 0xff) === 0xea;
}

/** The same as `scanHuffman` for plain octets; never -1. */
export function scanPlain(bytes: Uint8Array, start: number, end: number): number {
  let all = 0;
  for (let i = start; i < end; i++) all |= OCTET_CLASS[bytes[i] ?? 0] ?? 0;
  return ((end - start) << 4) | all;
}

/** What the last call of `readHuffman` read. */
export const huffmanText = { value: "" };

/** Checks as `scanHuffman` does and decodes into `huffmanText`, for values that somebody is going to ask for. */
export function readHuffman(bytes: Uint8Array, start: number, end: number): number {
  const scratch = scratchFor(end - start);
  const scan = decodeInto(bytes, start, end, scratch);
  huffmanText.value = scan < 0 ? "" : scratch.toString("latin1", 0, scan >>> 4);
  return scan;
}

/** Decodes a string that `scanHuffman` has accepted; octets become the characters of the same number. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  const scratch = scratchFor(end - start);
  const scan = decodeInto(bytes, start, end, scratch);
  return scan < 0 ? "" : scratch.toString("latin1", 0, scan >>> 4);
}

const SCRATCH = Buffer.alloc(8192);

/** No code has less than five bits; one octet more, because two symbols are written at once. */
function scratchFor(octets: number): Buffer {
  const needed = Math.ceil((octets * 8) / 5) + 1;
  return needed <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(needed);
}

/** `scanHuffman`, and what it read is in `target`. */
function decodeInto(bytes: Uint8Array, start: number, end: number, target: Buffer): number {
  let at = start;
  let bits = 0;
  let window = 0;
  let classes = 0;
  let length = 0;
  for (;;) {
    while (bits <= 16 && at < end) {
      window = (window << 8) | (bytes[at++] ?? 0);
      bits += 8;
    }
    if (bits < WINDOW_BITS) break;
    const found = WINDOWS[(window >>> (bits - WINDOW_BITS)) & WINDOW_MASK] ?? 0;
    if (found === 0) {
      if (!readLong(bytes, at * 8 - bits, end * 8)) return -1;
      classes |= OCTET_CLASS[long.symbol] ?? 0;
      target[length++] = long.symbol;
      at = long.next >> 3;
      bits = -long.next & 7;
      if (bits > 0) window = bytes[at++] ?? 0;
      continue;
    }
    bits -= found & 31;
    classes |= found >> CLASSES_SHIFT;
    target[length] = found >> FIRST_SHIFT;
    target[length + 1] = found >> SECOND_SHIFT;
    length += found >> COUNT_SHIFT;
  }
  // Fewer bits than a window: padded with ones, as the string itself must be.
  for (;;) {
    const found = WINDOWS[padded(window, bits)] ?? 0;
    const symbol = (found >> FIRST_SHIFT) & 0xff;
    const taken = CODE_LENGTHS[symbol] ?? 0;
    if (found === 0 || taken > bits) break;
    bits -= taken;
    classes |= OCTET_CLASS[symbol] ?? 0;
    target[length++] = symbol;
  }
  if (bits > 7 || padded(window, bits) !== WINDOW_MASK) return -1;
  return (length << 4) | (classes & 15);
}

/** Encodes the characters of a Latin-1 string. For names, once each; values are sent plain. */
export function encodeHuffman(text: string): Buffer {
  const out: number[] = [];
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const length = CODE_LENGTHS[symbol] ?? 0;
    const code = CODES[symbol] ?? 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      pending = (pending << 1) | ((code >>> bit) & 1);
      if (++bits < 8) continue;
      out.push(pending);
      pending = 0;
      bits = 0;
    }
  }
  if (bits > 0) out.push(((pending << (8 - bits)) | (0xff >> bits)) & 0xff);
  return Buffer.from(out);
}

function makeOctetClasses(): Uint8Array {
  const classes = new Uint8Array(256);
  for (let octet = 0; octet < 256; octet++) {
    if (octet === 0x09 || octet === 0x20) classes[octet] = CLASS_SPACE;
    else if (octet < 0x20 || octet === 0x7f) classes[octet] = CLASS_CONTROL;
    else if (octet >= 0x80) classes[octet] = CLASS_HIGH;
    else if (octet === 0x40) classes[octet] = CLASS_AT;
  }
  return classes;
}

/** Canonical: shorter codes first, equal lengths in the order of symbols, each one more than the last. */
function makeCodes(): number[] {
  const codes: number[] = Array.from({ length: 257 }, () => 0);
  let code = 0;
  for (let length = 5; length <= 30; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) if (CODE_LENGTHS[symbol] === length) codes[symbol] = code++;
    code *= 2;
  }
  return codes;
}

function groupByLength(): readonly (readonly number[])[] {
  const groups: number[][] = Array.from({ length: 31 }, () => []);
  for (let symbol = 0; symbol <= EOS; symbol++) {
    const length = CODE_LENGTHS[symbol] ?? 0;
    const code = CODES[symbol] ?? 0;
    if (groups[length]?.push(symbol) === 1) FIRST_CODES[length] = code;
    LAST_CODES[length] = code + 1;
  }
  return groups;
}

function buildWindows(): Int32Array {
  const windows = new Int32Array(1 << WINDOW_BITS);
  for (let window = 0; window < windows.length; window++) {
    const first = symbolIn(window, 0);
    if (first < 0) continue;
    const taken = CODE_LENGTHS[first] ?? 0;
    const one = taken | ((OCTET_CLASS[first] ?? 0) << CLASSES_SHIFT) | (first << FIRST_SHIFT) | (1 << COUNT_SHIFT);
    windows[window] = one;
    const second = symbolIn(window, taken);
    if (second < 0) continue;
    const classes = (OCTET_CLASS[second] ?? 0) << CLASSES_SHIFT;
    windows[window] =
      ((one | classes | (second << SECOND_SHIFT)) + (CODE_LENGTHS[second] ?? 0) + (1 << COUNT_SHIFT)) | 0;
  }
  return windows;
}

/** The symbol whose whole code is in the window behind so many bits; -1 = there is none. */
function symbolIn(window: number, behind: number): number {
  for (let length = 5; length <= WINDOW_BITS - behind; length++) {
    const code = (window >> (WINDOW_BITS - behind - length)) & ((1 << length) - 1);
    if (code < (LAST_CODES[length] ?? 0)) return BY_LENGTH[length]?.[code - (FIRST_CODES[length] ?? 0)] ?? -1;
  }
  return -1;
}
