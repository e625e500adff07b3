// Writes the frames that carry no message: straight into the outbox.
import type { Outbox } from "#lib/http/stream.ts";
import { DEFAULT_WINDOW_BYTES, FLAG, FRAME, FRAME_HEADER_BYTES, writeFrameHeader, writeUint32 } from "./frame.ts";
import { SETTING, type Http2Settings } from "./settings.ts";

export function writeSettings(out: Outbox, settings: Http2Settings, isServer: boolean): void {
  const pairs: number[] = [];
  if (settings.hpackTableSizeBytes !== 4096) pairs.push(SETTING.HEADER_TABLE_SIZE, settings.hpackTableSizeBytes);
  if (isServer) {
    pairs.push(SETTING.MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams);
    if (settings.allowConnect) pairs.push(SETTING.ENABLE_CONNECT_PROTOCOL, 1);
  } else pairs.push(SETTING.ENABLE_PUSH, 0);
  pairs.push(SETTING.INITIAL_WINDOW_SIZE, settings.initialStreamWindowBytes);
  pairs.push(SETTING.MAX_HEADER_LIST_SIZE, settings.maxHeadersBytes);
  const length = pairs.length * 3;
  let at = begin(out, length, FRAME.SETTINGS, 0, 0);
  for (let i = 0; i < pairs.length; i += 2, at += 6) {
    out.buffer[at] = 0;
    out.buffer[at + 1] = pairs[i] ?? 0;
    writeUint32(out.buffer, at + 2, pairs[i + 1] ?? 0);
  }
  out.position = at;
  const more = settings.initialConnectionWindowBytes - DEFAULT_WINDOW_BYTES;
  if (more > 0) writeWindowUpdate(out, 0, more);
}

export function writeSettingsAck(out: Outbox): void {
  out.position = begin(out, 0, FRAME.SETTINGS, FLAG.ACK, 0);
}

/** With the payload of the PING that it answers. */
export function writePingAck(out: Outbox, bytes: Buffer, start: number): void {
  const at = begin(out, 8, FRAME.PING, FLAG.ACK, 0);
  out.position = at + bytes.copy(out.buffer, at, start, start + 8);
}

/** A PING of ours; `purpose` is its last octet and comes back. */
export function writePing(out: Outbox, purpose: number): void {
  const at = begin(out, 8, FRAME.PING, 0, 0);
  writeUint32(out.buffer, at, 0);
  writeUint32(out.buffer, at + 4, purpose);
  out.position = at + 8;
}

export function writeGoaway(out: Outbox, lastStreamId: number, code: number): void {
  const at = begin(out, 8, FRAME.GOAWAY, 0, 0);
  writeUint32(out.buffer, at, lastStreamId);
  writeUint32(out.buffer, at + 4, code);
  out.position = at + 8;
}

export function writeReset(out: Outbox, streamId: number, code: number): void {
  const at = begin(out, 4, FRAME.RST_STREAM, 0, streamId);
  writeUint32(out.buffer, at, code);
  out.position = at + 4;
}

export function writeWindowUpdate(out: Outbox, streamId: number, increment: number): void {
  const at = begin(out, 4, FRAME.WINDOW_UPDATE, 0, streamId);
  writeUint32(out.buffer, at, increment);
  out.position = at + 4;
}

/** An encoded header block that is longer than one frame (RFC 9113 §6.10): HEADERS and CONTINUATIONs. */
export function writeLongHeaders(
  out: Outbox,
  streamId: number,
  block: Buffer,
  frameBytes: number,
  isEnd: boolean,
): void {
  for (let from = 0; from === 0 || from < block.length; from += frameBytes) {
    const length = Math.min(frameBytes, block.length - from);
    const flags = (from === 0 && isEnd ? FLAG.END_STREAM : 0) | (from + length === block.length ? FLAG.END_HEADERS : 0);
    const at = begin(out, length, from === 0 ? FRAME.HEADERS : FRAME.CONTINUATION, flags, streamId);
    out.position = at + block.copy(out.buffer, at, from, from + length);
  }
}

/** Makes room and writes the frame's header; gives where the payload goes. */
function begin(out: Outbox, length: number, type: number, flags: number, streamId: number): number {
  out.reserve(FRAME_HEADER_BYTES + length);
  writeFrameHeader(out.buffer, out.position, length, type, flags, streamId);
  return out.position + FRAME_HEADER_BYTES;
}
