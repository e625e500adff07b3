// One ADS stream: carries a session's responses over gRPC, one at a time, at the pace of its proxy.
import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Node } from "#config/xds/gen/envoy/config/core/v3/base_pb.ts";
import { tryResourceKind } from "#config/xds/type-urls.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Snapshot } from "./encoded-resource.ts";
import type { ProxyRecord, ProxyStream } from "./proxy-record.ts";
import type { KindStatus, Session } from "./session.ts";

/** A held response is looked at again this often while something is not answered. */
const LOOK_AGAIN_MS = 1000;

/** What both kinds of request have in common. */
export interface AdsRequest {
  readonly node?: Node | undefined;
  readonly typeUrl: string;
}

/** What the server does for its streams. */
export interface StreamHost<Request extends AdsRequest, Response> {
  readonly clock: Clock;
  readonly log: Log;
  /** Makes the session for the node of the first request. @throws {StreamRefusal} */
  open(stream: AdsStream<Request, Response>, first: Request): OpenedStream<Request, Response>;
  /** The newest that this proxy may have; `undefined` when the node is unknown. */
  snapshotFor(record: ProxyRecord, asked: ReadonlySet<string>): Snapshot | undefined;
  onSettled(record: ProxyRecord, snapshot: Snapshot): void;
  onClosed(stream: AdsStream<Request, Response>, record: ProxyRecord | undefined): void;
}

export interface OpenedStream<Request, Response> {
  readonly record: ProxyRecord;
  readonly session: Session<Request, Response>;
  /** Unix ms at which the proxy's certificate ends, and the stream with it. */
  readonly endsAtMs: number | undefined;
}

/** Ends a stream with a gRPC status. */
export class StreamRefusal extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

export class AdsStream<Request extends AdsRequest, Response> implements ProxyStream {
  readonly protocol: "delta" | "sotw";
  readonly #call: ServerDuplexStream<Request, Response>;
  readonly #host: StreamHost<Request, Response>;
  #opened: OpenedStream<Request, Response> | undefined;
  #snapshot: Snapshot | undefined;
  /** There is something newer than `#snapshot`; what exactly is asked when it can be sent. */
  #isStale = true;
  #isWriting = false;
  #isClosed = false;
  #holdTimer: Timer | undefined;
  #endTimer: Timer | undefined;

  constructor(
    protocol: "delta" | "sotw",
    call: ServerDuplexStream<Request, Response>,
    host: StreamHost<Request, Response>,
  ) {
    this.protocol = protocol;
    this.#call = call;
    this.#host = host;
    call.on("data", (request: Request) => this.#receive(request));
    call.on("end", () => this.#close());
    call.on("cancelled", () => this.#close());
    call.on("error", () => this.#close());
  }

  get kinds(): readonly KindStatus[] {
    return this.#opened?.session.kinds ?? [];
  }

  /** A new mesh version exists. While a response is being written that is all that is noted. */
  refresh(): void {
    this.#isStale = true;
    this.#pump();
  }

  /** Ends the stream; a proxy comes back with what it has. */
  end(reason: StreamRefusal): void {
    if (this.#isClosed) return;
    this.#stop();
    // grpc-js takes this as the stream's status, and ends it.
    this.#call.emit("error", { code: reason.code, details: reason.message });
  }

  #receive(request: Request): void {
    if (this.#isClosed) return;
    try {
      this.#opened ??= this.#open(request);
      this.#opened.session.receive(request);
      // What a proxy may have depends on what it asks for on demand.
      if (tryResourceKind(request.typeUrl) === "virtualHost") this.#isStale = true;
      this.#pump();
    } catch (error) {
      if (!(error instanceof StreamRefusal)) this.#host.log.error("request of a proxy failed", { error });
      this.end(error instanceof StreamRefusal ? error : new StreamRefusal(status.INTERNAL, "The control plane failed"));
    }
  }

  #open(first: Request): OpenedStream<Request, Response> {
    const opened = this.#host.open(this, first);
    if (opened.endsAtMs !== undefined) {
      const refusal = new StreamRefusal(status.UNAUTHENTICATED, "The certificate of this connection has ended");
      const delayMs = Math.max(0, opened.endsAtMs - this.#host.clock.wallMs());
      this.#endTimer = this.#host.clock.setTimer(Math.min(delayMs, 0x7fffffff), () => this.end(refusal));
    }
    return opened;
  }

  #pump(): void {
    const opened = this.#opened;
    if (opened === undefined || this.#isWriting || this.#isClosed) return;
    if (this.#isStale) {
      this.#isStale = false;
      const snapshot = this.#host.snapshotFor(opened.record, opened.session.asked);
      if (snapshot !== undefined && snapshot !== this.#snapshot) {
        this.#snapshot = snapshot;
        opened.session.offer(snapshot);
      }
    }
    const response = opened.session.next();
    if (response === undefined) {
      this.#rest(opened);
      return;
    }
    this.#isWriting = true;
    // grpc-js calls back when HTTP/2 has taken the bytes, so the peer's window holds us back.
    this.#call.write(response, () => {
      this.#isWriting = false;
      this.#pump();
    });
  }

  /** Nothing to send: either all is acknowledged, or something waits for an acknowledgement. */
  #rest({ record, session }: OpenedStream<Request, Response>): void {
    this.#holdTimer?.cancel();
    this.#holdTimer = undefined;
    if (session.isSettled) {
      if (this.#snapshot !== undefined) this.#host.onSettled(record, this.#snapshot);
    } else {
      this.#holdTimer = this.#host.clock.setTimer(LOOK_AGAIN_MS, () => this.#pump());
    }
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#stop();
    this.#call.end();
  }

  #stop(): void {
    this.#isClosed = true;
    this.#holdTimer?.cancel();
    this.#endTimer?.cancel();
    this.#host.onClosed(this, this.#opened?.record);
  }
}
