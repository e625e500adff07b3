// The bodies of gRPC-Web: text to bytes on the way in, bytes to text and trailers to a last frame on the way out (PROTOCOL-WEB.md).
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { encodeFrame, FLAG_TRAILERS, FRAME_HEAD_BYTES } from "#lib/grpc/frames.ts";
import { encodeGrpcMessage, grpcStatusFor } from "#lib/grpc/status.ts";

import type { BodyTransform, Exchange } from "../filter.ts";

import { Base64Decoder, Base64Encoder, Base64Error } from "./base64.ts";

const NOTHING = Buffer.alloc(0);
/** Of an answer that is no gRPC, so much is told in `grpc-message` (Envoy's limit). */
const MESSAGE_BYTES = 16_384;

/** The request's body out of base64. */
export function decodeText(exchange: Exchange): BodyTransform {
  const decoder = new Base64Decoder();
  const decode = (bytes: Buffer, start: number, end: number, last: boolean): Buffer => {
    try {
      return decoder.decode(bytes, start, end, last);
    } catch (error) {
      if (!(error instanceof Base64Error)) throw error;
      exchange.answer({
        status: 400,
        flag: "DPE",
        code: "grpc_web_bad_base64",
        proxyStatus: "http_request_error",
        detail: error.message,
      });
      return NOTHING;
    }
  };
  return { holdsHead: false, onData: decode, onTrailers: () => decode(NOTHING, 0, 0, true) };
}

/** The answer's body, its trailers behind it as a frame. */
export function packTrailers(isText: boolean): BodyTransform {
  const writer = isText ? new TextWriter() : undefined;
  return {
    holdsHead: false,
    onData: (bytes, start, end, last) => writer?.write(bytes, start, end, last) ?? bytes.subarray(start, end),
    onTrailers(trailers) {
      const frame = trailerFrame(trailers);
      trailers.clear();
      return writer?.write(frame, 0, frame.length, true) ?? frame;
    },
  };
}

function trailerFrame(trailers: HeaderBlock): Buffer {
  let text = "";
  trailers.forEach((name, value) => (text += `${name}:${value}\r\n`));
  return encodeFrame(FLAG_TRAILERS, Buffer.from(text, "latin1"));
}

/** Each message ends with padding, so that the client can read it before the next one comes. */
class TextWriter {
  readonly #encoder = new Base64Encoder();
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  /** Of the message under way. */
  #bytesLeft = 0;

  write(bytes: Buffer, start: number, end: number, last: boolean): Buffer {
    const pieces: Buffer[] = [];
    let from = start;
    let at = start;
    while (at < end) {
      if (this.#headBytes < FRAME_HEAD_BYTES) {
        this.#head[this.#headBytes++] = bytes[at++] ?? 0;
        if (this.#headBytes === FRAME_HEAD_BYTES) this.#bytesLeft = this.#head.readUInt32BE(1);
      } else {
        const taken = Math.min(this.#bytesLeft, end - at);
        at += taken;
        this.#bytesLeft -= taken;
      }
      if (this.#headBytes < FRAME_HEAD_BYTES || this.#bytesLeft > 0) continue;
      this.#headBytes = 0;
      pieces.push(this.#encoder.encode(bytes, from, at, true));
      from = at;
    }
    pieces.push(this.#encoder.encode(bytes, from, end, last));
    return pieces.length === 1 ? (pieces[0] ?? NOTHING) : Buffer.concat(pieces);
  }
}

/** An answer that is no gRPC: the client hears its status and its text in gRPC's words, and no body. */
export function describeForeign(head: HeaderBlock): BodyTransform {
  const kept: Buffer[] = [];
  let room = MESSAGE_BYTES;
  const finish = (): Buffer => {
    head.set("grpc-status", String(grpcStatusFor(Number(head.get(":status") ?? "0"))));
    const message = Buffer.concat(kept);
    if (message.length > 0) head.set("grpc-message", encodeGrpcMessage(message));
    head.set("content-length", "0");
    return NOTHING;
  };
  return {
    holdsHead: true,
    onData(bytes, start, end, last) {
      const stop = Math.min(end, start + room);
      room -= stop - start;
      if (stop > start) kept.push(Buffer.from(bytes.subarray(start, stop)));
      return last ? finish() : NOTHING;
    },
    onTrailers(trailers) {
      trailers.clear();
      return finish();
    },
  };
}
