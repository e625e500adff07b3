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
 * The automaton eats four bits at a time; a state is an inner node of the code's tree, 256 of them. One step gives at most
 * one symbol, since the shortest code has five bits.
 *
 *   STEPS:   next state (bits 0-7) | class of the symbol given (8-11) | may end here (12) | dead (13) | a symbol was given (16)
 *   SYMBOLS: the symbol given
 *
 * Relayed values are only checked, not decoded, which must be quick: OCTETS joins two steps (128 KiB for half the time).
 *
 *   OCTETS:  next state (0-7) | classes (8-11) | may end here (12) | dead (13) | how many symbols were given (14-15)
 */
const CLASS_SHIFT = 8;
const MAY_END = 1 << 12;
const DEAD = 1 << 13;
const GIVES = 1 << 16;
const STEPS = new Int32Array(256 * 16);
const SYMBOLS = new Uint8Array(256 * 16);
/** Made at the first look: 128 KiB and 5 ms that a proxy of HTTP/1 does not need. */
let octetSteps: Uint16Array | undefined;
const COUNT_SHIFT = 14;
const CODES = makeCodes();
buildAutomaton();

/**
 * Checks a Huffman-coded string: -1 when it holds EOS or its padding is wrong, else its decoded length shifted left by
 * 4, or-ed with the classes of its characters.
 */
export function scanHuffman(bytes: Uint8Array, start: number, end: number): number {
  const octets = (octetSteps ??= joinSteps());
  let all = 0;
  let sum = 0;
  let step = MAY_END;
  for (let i = start; i < end; i++) {
    step = octets[((step & 0xff) << 8) | (bytes[i] ?? 0)] ?? 0;
    all |= step;
    sum += step >> COUNT_SHIFT;
  }
  if ((all & DEAD) !== 0 || (step & MAY_END) === 0) return -1;
  return (sum << 4) | ((all >> CLASS_SHIFT) & 15);
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

/** Decodes a string that `scanHuffman` has accepted; octets become the characters of the same number. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  const scratch = (end - start) * 2 <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe((end - start) * 2);
  const length = decodeHuffmanInto(bytes, start, end, scratch);
  return scratch.toString("latin1", 0, length);
}

const SCRATCH = Buffer.alloc(8192);

/** Decodes into `target` (which must hold twice the coded length) and gives the number of octets. */
function decodeHuffmanInto(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    const high = (state << 4) | (byte >> 4);
    const first = STEPS[high] ?? 0;
    if (first >= GIVES) target[length++] = SYMBOLS[high] ?? 0;
    const low = ((first & 0xff) << 4) | (byte & 15);
    const second = STEPS[low] ?? 0;
    if (second >= GIVES) target[length++] = SYMBOLS[low] ?? 0;
    state = second & 0xff;
  }
  return length;
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

function buildAutomaton(): void {
  // A child is 0 = none yet, > 0 = an inner node, < 0 = -1 - symbol.
  const zeros: number[] = [0];
  const ones: number[] = [0];
  // Padding is a prefix of EOS (all ones) of at most seven bits.
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    const length = CODE_LENGTHS[symbol] ?? 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      const side = (((CODES[symbol] ?? 0) >>> bit) & 1) === 0 ? zeros : ones;
      if (bit === 0) side[node] = -1 - symbol;
      else if ((side[node] ?? 0) === 0) {
        side[node] = zeros.length;
        zeros.push(0);
        ones.push(0);
      }
      node = side[node] ?? 0;
    }
  }
  const mayEnd = new Set<number>();
  for (let node = 0, depth = 0; depth <= 7; depth++, node = ones[node] ?? 0) mayEnd.add(node);
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = ((nibble >> bit) & 1) === 0 ? (zeros[node] ?? 0) : (ones[node] ?? 0);
        node = Math.max(child, 0);
        if (child >= 0) continue;
        const symbol = -1 - child;
        if (symbol === EOS) {
          step |= DEAD;
          continue;
        }
        SYMBOLS[(state << 4) | nibble] = symbol;
        step |= GIVES | ((OCTET_CLASS[symbol] ?? 0) << CLASS_SHIFT);
      }
      STEPS[(state << 4) | nibble] = step | node | (mayEnd.has(node) ? MAY_END : 0);
    }
  }
}

function joinSteps(): Uint16Array {
  const joined = new Uint16Array(256 * 256);
  for (let state = 0; state < 256; state++) {
    for (let octet = 0; octet < 256; octet++) {
      const first = STEPS[(state << 4) | (octet >> 4)] ?? 0;
      const second = STEPS[((first & 0xff) << 4) | (octet & 15)] ?? 0;
      const either = ((first | second) & ((15 << CLASS_SHIFT) | DEAD)) | (second & (0xff | MAY_END));
      const count = (first >= GIVES ? 1 : 0) + (second >= GIVES ? 1 : 0);
      joined[(state << 8) | octet] = either | (count << COUNT_SHIFT);
    }
  }
  return joined;
}
