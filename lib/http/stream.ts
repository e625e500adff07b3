// What both codecs and the exchange agree on: one HTTP message each way on one stream, with back-pressure.
import type { HeaderBlock } from "./header-block.ts";
import type { StreamError } from "./stream-error.ts";

/**
 * What a codec tells about one stream, always synchronously from within its `receive`. Order for one message:
 * `onInformational`* `onHead` `onData`* [`onTrailers`]; the message is over with `last`/`end` or with `onTrailers`.
 * After `onReset` nothing more comes. Bytes and raw header values are valid only during the call.
 */
export interface StreamHandler {
  /** The request (server) or the final response (client). `end`: no body follows. */
  onHead(head: HeaderBlock, end: boolean): void;
  /** 100, 102, 103 of a response; never 101. */
  onInformational(head: HeaderBlock): void;
  onData(bytes: Buffer, start: number, end: number, last: boolean): void;
  onTrailers(trailers: HeaderBlock): void;
  /** The stream died in both directions: RST_STREAM, connection lost, protocol error. Not called after both messages ended well. */
  onReset(error: StreamError): void;
  /** Room again after `sendData` answered false. */
  onDrain(): void;
}

/**
 * What an exchange tells a codec about one stream. Order: `sendInformational`* `sendHead` `sendData`* [`sendTrailers`]. The
 * codec copies bytes and writes them at the end of the turn. After an upgrade was accepted (101, or 2xx to CONNECT), data is
 * opaque in both directions and `last` is a half-close.
 */
export interface HttpStream {
  sendInformational(head: HeaderBlock): void;
  sendHead(head: HeaderBlock, end: boolean): void;
  /** False: the stream's buffer is over its high-water mark (the peer's window or the socket is full); wait for `onDrain`. */
  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean;
  sendTrailers(trailers: HeaderBlock): void;
  /** Ends the stream at once in both directions; harmless when it is over. No `onReset` follows. */
  reset(error: StreamError): void;
  /** Says that so many bytes of `onData` were passed on: the codec opens the peer's window (h2) or reads on (h1). */
  consumed(bytes: number): void;
  /** What is still buffered here for the peer. */
  readonly bufferedBytes: number;
  /** The peer's limit, in bytes as SETTINGS_MAX_HEADER_LIST_SIZE counts, where this head is above it; else undefined. */
  exceededLimit?(head: HeaderBlock): number | undefined;
}

/** What a codec needs of its connection. The proxy's wire gives it; tests give a memory one. */
export interface CodecHost {
  readonly out: Outbox;
  /** Writes what is pending, then closes; with an error the connection is of no use any more. Called at most once. */
  close(error: StreamError | undefined): void;
  /** Stops and starts reading from the socket. */
  setReading(isReading: boolean): void;
  /** The same throughout one turn of the event loop. Absent, with `rest`, where nobody else could be kept waiting. */
  readonly turn?: number;
  /** The codec has had its share of this turn: nothing more is read before the next, which begins with its `onTurn`. */
  rest?(): void;
}

/** Where a codec writes: straight into a slab that is flushed once at the end of the turn. */
export interface Outbox {
  /** Write at `position`, after `reserve`, and move `position`. Fetch both anew after each `reserve`. */
  buffer: Buffer;
  position: number;
  /** Makes room for `bytes` (at most 64 KiB) in `buffer` from `position` on, and schedules the flush. */
  reserve(bytes: number): void;
  /** Hands bytes to the socket as they lie, behind what is pending; false where they may not be kept beyond this call. */
  borrow?(bytes: Buffer, start: number, end: number): boolean;
  /** Bytes written here that the kernel has not taken yet. */
  readonly pendingBytes: number;
  /** Bytes that have left it so far. */
  readonly bytesFlushed: number;
  /** Forgets what has not left it. */
  discard(): void;
}

/** Common to server and client codecs. */
export interface Codec {
  /** Bytes from the peer; they may be reused by the caller as soon as it returns. Never throws on bad input. */
  receive(bytes: Buffer, start: number, end: number): void;
  /** The peer half-closed (FIN). */
  receiveEnd(): void;
  /** The connection is gone: resets all streams with this. */
  connectionLost(error: StreamError): void;
  /** The socket took everything pending after it was full. */
  onSocketDrain(): void;
  /** The turn after the one in which the codec asked its host for a `rest`. */
  onTurn?(): void;
  /** Graceful end: GOAWAY or `Connection: close`; calls `close` on its host when the last stream is over. */
  drain(): void;
  /** Streams that are not over. */
  readonly activeStreams: number;
  readonly isDraining: boolean;
}

/** Given to a server codec; makes the handler of each new stream. */
export interface ServerHandler {
  onStream(stream: HttpStream): StreamHandler;
}

export interface ServerCodec extends Codec {
  readonly protocol: "http1" | "http2";
}

/** Given to a client codec: the pool. */
export interface ClientHandler {
  /**
   * The peer ends the connection (FIN, RST, GOAWAY without an error) unasked, while no answer is on its way: nothing runs, or
   * nothing was answered. Before `onRetired`.
   */
  onPeerClosed?(): void;
  /** `isAvailable` of the codec has become true, or `isSettled`. */
  onAvailable(): void;
  /** No new stream may be opened (GOAWAY, `Connection: close`, FIN, error); running ones go on. */
  onRetired(): void;
}

export interface ClientCodec extends Codec {
  readonly protocol: "http1" | "http2";
  /** A stream can be opened now. */
  readonly isAvailable: boolean;
  /** Streams that may run at once: 1, or the peer's SETTINGS_MAX_CONCURRENT_STREAMS. */
  readonly maxStreams: number;
  /** The peer has said how many those are; `onAvailable` tells it. */
  readonly isSettled: boolean;
  /** When the last stream ended, of a codec with a clock (HTTP/2); 0 = none has, or the codec has none. */
  readonly idleSinceMs: number;
  /** Opens a stream; call only while `isAvailable`, and send the head before returning to the loop. */
  open(handler: StreamHandler): HttpStream;
}
