// Attacks by being slow: windows that stay shut, answers that nobody reads, heads and bodies that do not end.
import type { AttackReport, AttackTarget } from "./attacker.ts";
import { END_HEADERS, frame, get, headers, request, settings, TYPE, windowUpdate } from "./raw-frames.ts";
import { again, flood, RawH2, type RawOptions, Tally } from "./raw-h2.ts";

const INITIAL_WINDOW = 4;
const STREAMS = 50;

const large = (count: number, mib = 8): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => get(i * 2 + 1, `/large?mib=${mib}`)));

/** Opens one connection, does `act`, and looks what becomes of it for the whole time. */
async function once(
  target: AttackTarget,
  options: RawOptions,
  act: (peer: RawH2, tally: Tally) => void,
): Promise<AttackReport> {
  const tally = new Tally();
  const peer = new RawH2(target.port, tally, options);
  act(peer, tally);
  await peer.over(target.ms);
  peer.socket.resume();
  peer.destroy();
  return tally.report;
}

/** Large answers for which there is never any room. */
export function zeroWindow(target: AttackTarget): Promise<AttackReport> {
  return once(target, { settings: [[INITIAL_WINDOW, 0]] }, (peer) => void peer.send(large(STREAMS), STREAMS));
}

/** Answers that fit into the sidecar's buffers, so that the application is done with them at once. */
export function zeroWindowSmall(target: AttackTarget): Promise<AttackReport> {
  return once(target, { settings: [[INITIAL_WINDOW, 0]] }, (peer) => void peer.send(large(STREAMS, 1 / 32), STREAMS));
}

/** Large answers, for which there is room for one byte more whenever one byte came. */
export function oneByteWindow(target: AttackTarget): Promise<AttackReport> {
  return again(target, { settings: [[INITIAL_WINDOW, 1]] }, async (peer, _tally, isTimeUp) => {
    peer.onFrame = (type, _flags, id, payload) => {
      if (type === TYPE.DATA && payload.length > 0 && !isTimeUp())
        peer.send(Buffer.concat([windowUpdate(id, 1), windowUpdate(0, 1)]), 2);
    };
    peer.raw(large(20));
    while (!isTimeUp() && !peer.isOver) await peer.over(100);
  });
}

/** Large answers, and a window for all of them at once that opens byte by byte through SETTINGS. */
export function windowBySettings(target: AttackTarget): Promise<AttackReport> {
  return again(target, { settings: [[INITIAL_WINDOW, 0]] }, async (peer, _tally, isTimeUp) => {
    peer.raw(large(20));
    await new Promise((resolve) => setTimeout(resolve, 200));
    peer.raw(windowUpdate(0, 0x7ffeffff));
    await flood(peer, isTimeUp, (i) => settings([INITIAL_WINDOW, i + 1]), 20);
  });
}

/** Asks for large answers with all the windows in the world, and reads nothing. */
export function neverReadsLarge(target: AttackTarget): Promise<AttackReport> {
  return once(target, { isDeaf: true, settings: [[INITIAL_WINDOW, 0x7fffffff]] }, (peer) => {
    peer.raw(windowUpdate(0, 0x7ffeffff));
    peer.send(large(STREAMS), STREAMS);
  });
}

/** Asks for small answers as fast as it can, and reads nothing. */
export function neverReadsSmall(target: AttackTarget): Promise<AttackReport> {
  return again(target, { isDeaf: true }, (peer, _tally, isTimeUp) => flood(peer, isTimeUp, (i) => get(i * 2 + 1), 20));
}

export function neverAcknowledges(target: AttackTarget): Promise<AttackReport> {
  return once(target, { isRude: true }, (peer) => void peer.send(get(1)));
}

/** One small piece of a header block after another; an acknowledgement between them would be an error of its own. */
export function drippedHead(target: AttackTarget): Promise<AttackReport> {
  return once(target, { isRude: true }, (peer) => {
    peer.send(frame(TYPE.HEADERS, 0, 1, Buffer.from([0x82])));
    drip(peer, frame(TYPE.CONTINUATION, 0, 1, Buffer.from([0x82])));
  });
}

/** A HEADERS frame of which only the beginning comes. */
export function cutHead(target: AttackTarget): Promise<AttackReport> {
  return once(
    target,
    {},
    (peer) => void peer.send(frame(TYPE.HEADERS, END_HEADERS, 1, Buffer.alloc(200, 0x82)).subarray(0, 40)),
  );
}

/** A hundred requests whose bodies never come. */
export function noBody(target: AttackTarget): Promise<AttackReport> {
  return once(target, {}, (peer) => {
    for (let i = 0; i < 100; i++) peer.send(headers(i * 2 + 1, request("POST", "/echo"), false));
  });
}

/** A hundred requests whose bodies come byte by byte. */
export function drippedBody(target: AttackTarget): Promise<AttackReport> {
  return once(target, {}, (peer) => {
    const bytes: Buffer[] = [];
    for (let i = 0; i < 100; i++) {
      peer.send(headers(i * 2 + 1, request("POST", "/echo"), false));
      bytes.push(frame(TYPE.DATA, 0, i * 2 + 1, Buffer.from("x")));
    }
    drip(peer, Buffer.concat(bytes));
  });
}

function drip(peer: RawH2, bytes: Buffer): void {
  const timer = setInterval(() => {
    if (peer.isOver) clearInterval(timer);
    else peer.send(bytes);
  }, 100);
}
