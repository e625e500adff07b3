// An HTTP/2 client without manners: it writes what it is told and only counts what comes back.
import net from "node:net";

import type { AttackReport, AttackTarget } from "./attacker.ts";
import { ACK, END_HEADERS, frame, nameOfCode, PREFACE, settings, TYPE } from "./raw-frames.ts";

/** Static HPACK entries with a status. */
const STATUSES = [200, 204, 206, 304, 400, 404, 500];

/** What all connections of one attack saw. */
export class Tally {
  units = 0;
  connections = 0;
  bytes = 0;
  readonly #saw = new Map<string, number>();

  saw(what: string): void {
    this.#saw.set(what, this.count(what) + 1);
  }

  count(what: string): number {
    return this.#saw.get(what) ?? 0;
  }

  get report(): AttackReport {
    const { units, connections, bytes } = this;
    return { units, connections, bytes, saw: Object.fromEntries(this.#saw) };
  }
}

export interface RawOptions {
  /** Never reads anything. */
  readonly isDeaf?: boolean;
  /** Does not acknowledge SETTINGS. */
  readonly isRude?: boolean;
  /** Pairs for the first SETTINGS; the table size 0 keeps what comes back readable. */
  readonly settings?: readonly (readonly [number, number])[];
}

export class RawH2 {
  readonly socket: net.Socket;
  readonly #tally: Tally;
  readonly #isRude: boolean;
  isOver = false;
  #rest: Buffer = Buffer.alloc(0);
  #ended: (() => void)[] = [];
  /** Called for each frame that comes. */
  onFrame: (type: number, flags: number, id: number, payload: Buffer) => void = () => undefined;

  constructor(port: number, tally: Tally, options: RawOptions = {}) {
    this.#tally = tally;
    this.#isRude = options.isRude === true;
    tally.connections++;
    this.socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    if (options.isDeaf === true) this.socket.pause();
    else this.socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.socket.on("end", () => this.#end("FIN"));
    this.socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#end(error.code === "ECONNRESET" || error.code === "EPIPE" ? "RST" : String(error.code)),
    );
    this.socket.on("close", () => this.#end("CLOSED"));
    this.raw(Buffer.concat([PREFACE, settings([1, 0], ...(options.settings ?? []))]));
  }

  /** Not counted as part of the attack. */
  raw(bytes: Buffer): boolean {
    return this.isOver ? false : this.socket.write(bytes);
  }

  /** Frames of the attack; false: the socket has enough for now. */
  send(bytes: Buffer, units = 1): boolean {
    if (this.isOver) return false;
    this.#tally.units += units;
    this.#tally.bytes += bytes.length;
    return this.socket.write(bytes);
  }

  /** Resolves when the socket takes more, or the connection is over, or after `ms`. */
  async drained(ms = 1000): Promise<void> {
    if (this.isOver || !this.socket.writableNeedDrain) return new Promise((resolve) => setImmediate(resolve));
    await Promise.race([new Promise((resolve) => this.socket.once("drain", resolve)), this.over(ms)]);
  }

  /** Resolves when the sidecar has ended the connection, or after `ms`. */
  over(ms: number): Promise<boolean> {
    if (this.isOver) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#ended.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  destroy(): void {
    if (!this.isOver) this.#tally.saw("STAYED OPEN");
    this.isOver = true;
    this.socket.destroy();
  }

  #end(how: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#tally.saw(how);
    this.socket.destroy();
    for (const tell of this.#ended) tell();
  }

  #read(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= 9) {
      const length = all.readUIntBE(at, 3);
      if (all.length - at < 9 + length) break;
      this.#take(all[at + 3] ?? 0, all[at + 4] ?? 0, all.readUInt32BE(at + 5), all.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    this.#rest = all.subarray(at);
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === TYPE.SETTINGS && (flags & ACK) === 0 && !this.#isRude) this.raw(frame(TYPE.SETTINGS, ACK, 0));
    else if (type === TYPE.GOAWAY) this.#tally.saw(`GOAWAY ${nameOfCode(payload.readUInt32BE(4))}`);
    else if (type === TYPE.RST_STREAM) this.#tally.saw(`RST_STREAM ${nameOfCode(payload.readUInt32BE(0))}`);
    else if (type === TYPE.HEADERS && (flags & END_HEADERS) !== 0) this.#tally.saw(statusOf(payload));
    this.onFrame(type, flags, id, payload);
  }
}

/** The first field of a response, which `:status` always is. */
export function statusOf(block: Buffer): string {
  let from = 0;
  // Sizes of the dynamic table come before it.
  while (((block[from] ?? 0) & 0xe0) === 0x20) from++;
  const payload = block.subarray(from);
  const first = payload[0] ?? 0;
  if (first >= 0x88 && first <= 0x8e) return String(STATUSES[first - 0x88]);
  const length = payload[1] ?? 0;
  if (length < 0x80) return payload.toString("latin1", 2, 2 + length);
  // Huffman: digits have five bits (0, 1, 2) or six.
  let bits = "";
  for (const byte of payload.subarray(2, 2 + (length & 0x7f))) bits += byte.toString(2).padStart(8, "0");
  let status = "";
  for (let at = 0; at + 5 <= bits.length && status.length < 3;) {
    const five = parseInt(bits.slice(at, at + 5), 2);
    if (five < 3) {
      status += five;
      at += 5;
    } else {
      status += parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3;
      at += 6;
    }
  }
  return status;
}

const SESSION_MS = 3000;

/** Runs `session` on one connection after another until the time is up, with a rest between them. */
export async function again(
  target: AttackTarget,
  options: RawOptions,
  session: (peer: RawH2, tally: Tally, isTimeUp: () => boolean) => Promise<void>,
  restMs = 20,
): Promise<AttackReport> {
  const tally = new Tally();
  const end = performance.now() + target.ms;
  while (performance.now() < end) {
    const peer = new RawH2(target.port, tally, options);
    // The last one too gets the time that a busy machine takes to end it.
    const sessionEnd = Math.max(end, performance.now() + SESSION_MS);
    await session(peer, tally, () => performance.now() >= sessionEnd);
    // One that never read learns now what became of it.
    peer.socket.resume();
    await peer.over(1500);
    peer.destroy();
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  return tally.report;
}

/** Writes what `make` gives, as fast as the socket takes it, until the connection or the time is over. */
export async function flood(
  peer: RawH2,
  isTimeUp: () => boolean,
  make: (i: number) => Buffer,
  perWrite = 1,
  units = 1,
): Promise<void> {
  for (let i = 0; !peer.isOver && !isTimeUp();) {
    const pieces: Buffer[] = [];
    for (let n = 0; n < perWrite; n++) pieces.push(make(i++));
    if (!peer.send(Buffer.concat(pieces), perWrite * units) || i % (perWrite * 16) === 0) await peer.drained();
  }
}
