// Tar archives (POSIX.1-1988 "ustar") whose bytes follow from their contents alone: no times, no owners but root, entries in the order given.

export interface TarEntry {
  /** Without a leading slash; folders without a trailing one. */
  readonly path: string;
  readonly kind: "file" | "folder" | "link";
  readonly mode: number;
  /** Of files. */
  readonly bytes?: Uint8Array;
  /** Of links: what they point to. */
  readonly target?: string;
}

const BLOCK = 512;
const TYPES = { file: "0", link: "2", folder: "5" } as const;

/** @throws {RangeError} for a path that ustar cannot hold (name 100 bytes, folder 155). */
export function makeTar(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const bytes = entry.bytes ?? new Uint8Array();
    parts.push(makeHeader(entry, bytes.length), bytes, new Uint8Array((BLOCK - (bytes.length % BLOCK)) % BLOCK));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(parts);
}

function makeHeader({ path, kind, mode, target = "" }: TarEntry, length: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const [prefix, name] = splitPath(path + (kind === "folder" ? "/" : ""));
  if (Buffer.byteLength(target) > 100) throw new RangeError(`The target of the link ${path} is too long for tar`);
  header.write(name, 0);
  writeOctal(header, 100, 8, mode);
  writeOctal(header, 108, 8, 0);
  writeOctal(header, 116, 8, 0);
  writeOctal(header, 124, 12, length);
  writeOctal(header, 136, 12, 0);
  header.write(TYPES[kind], 156);
  header.write(target, 157);
  header.write("ustar\u000000", 257, "latin1");
  header.write(prefix, 345);
  // The sum is over the header with spaces where the sum will be.
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function writeOctal(header: Buffer, at: number, length: number, value: number): void {
  header.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
}

function splitPath(path: string): readonly [string, string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (name !== "" && Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return [prefix, name];
  }
  throw new RangeError(`The path ${path} is too long for tar`);
}
