// Stream handlers that write down what they are told, and a client joined to a server in memory.
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, ServerHandler, StreamHandler } from "#lib/http/stream.ts";
import { formatErrorCode, type StreamError } from "#lib/http/stream-error.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http2Client } from "../client.ts";
import { Http2Server } from "../server.ts";
import { DEFAULT_HTTP2_SETTINGS, type Http2Settings } from "../settings.ts";

export type Fields = readonly (readonly [string, string])[];

export class Recorder implements StreamHandler {
  readonly stream: HttpStream | undefined;
  readonly events: string[] = [];
  fields: [string, string][] = [];
  head: HeaderBlock | undefined;
  body = "";
  dataBytes = 0;
  error: StreamError | undefined;
  isDone = false;
  drains = 0;
  /** Passes bytes on at once. */
  consumes = true;

  constructor(stream: HttpStream | undefined) {
    this.stream = stream;
  }

  onHead(head: HeaderBlock, end: boolean): void {
    this.fields = fieldsOf(head);
    this.head = head;
    this.head.detach();
    this.events.push(end ? "head end" : "head");
    this.isDone = end;
  }

  onInformational(head: HeaderBlock): void {
    this.events.push(`informational ${head.get(":status")}`);
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.dataBytes += end - start;
    if (this.body.length < 100_000) this.body += bytes.toString("latin1", start, end);
    if (last) this.events.push("end");
    this.isDone = last;
    if (this.consumes) this.consumer?.consumed(end - start);
  }

  onTrailers(trailers: HeaderBlock): void {
    this.events.push(`trailers ${fieldsOf(trailers).join(" ")}`);
    this.isDone = true;
  }

  onReset(error: StreamError): void {
    this.error = error;
    this.events.push(`reset ${error.origin} ${error.scope} ${formatErrorCode(error.code)}`);
  }

  onDrain(): void {
    this.drains++;
  }

  /** Who is told that bytes were passed on: the stream itself, or the one that `open` gave. */
  consumer: HttpStream | undefined;
}

export class RecordingHandler implements ServerHandler {
  readonly requests: Recorder[] = [];
  consumes = true;

  onStream(stream: HttpStream): StreamHandler {
    const recorder = new Recorder(stream);
    recorder.consumer = stream;
    recorder.consumes = this.consumes;
    this.requests.push(recorder);
    return recorder;
  }

  /** The newest request; fails when there is none. */
  get last(): Recorder & { readonly stream: HttpStream } {
    const recorder = this.requests.at(-1);
    if (recorder?.stream === undefined) throw new Error("no request has come");
    return recorder as Recorder & { readonly stream: HttpStream };
  }
}

export function fieldsOf(block: HeaderBlock): [string, string][] {
  const fields: [string, string][] = [];
  block.forEach((name, value) => fields.push([name, value]));
  return fields;
}

export function makeSettings(changes: Partial<Http2Settings> = {}): Http2Settings {
  return { ...DEFAULT_HTTP2_SETTINGS, settingsTimeoutMs: 0, ...changes };
}

/** A client and a server whose bytes `run` carries to and fro until both are quiet. */
export class Pair {
  readonly clock = new FakeClock();
  readonly clientHost = new MemoryHost();
  readonly serverHost = new MemoryHost();
  readonly handler = new RecordingHandler();
  readonly client: Http2Client;
  readonly server: Http2Server;
  available = 0;
  retired = 0;

  constructor(serverSettings: Partial<Http2Settings> = {}, clientSettings: Partial<Http2Settings> = {}) {
    const handler = { onAvailable: () => void this.available++, onRetired: () => void this.retired++ };
    this.client = new Http2Client(this.clientHost, handler, makeSettings(clientSettings), this.clock);
    this.server = new Http2Server(this.serverHost, this.handler, makeSettings(serverSettings), this.clock);
  }

  run(): void {
    for (;;) {
      const toServer = this.clientHost.take();
      const toClient = this.serverHost.take();
      if (toServer.length === 0 && toClient.length === 0) return;
      this.server.receive(toServer, 0, toServer.length);
      this.client.receive(toClient, 0, toClient.length);
    }
  }

  /** Opens a stream and sends its head. */
  open(fields: Fields, end: boolean): Recorder & { readonly stream: HttpStream } {
    const recorder = new Recorder(undefined);
    const stream = this.client.open(recorder);
    recorder.consumer = stream;
    stream.sendHead(HeaderBlock.of(...fields), end);
    return Object.assign(recorder, { stream });
  }
}
