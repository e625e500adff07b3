// One gRPC call of a service that the proxy itself needs (a rate limit), over a cluster as requests go: with its balancer, pool and TLS.
import { decodeGrpcMessage } from "#lib/grpc/status.ts";
import { encodeFrame, FRAME_HEAD_BYTES } from "#lib/grpc/frames.ts";
import type { AttemptFailure, UnaryRequest, UnaryResult } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { OpenTicket, OpenWaiter, PickedEndpoint, UpstreamCluster } from "#proxy/upstream/contract.ts";

const GIVEN_UP: StreamError = makeStreamError("us", "stream", H2_ERROR.CANCEL, "the call was given up");
const MAX_ANSWER_BYTES = 64 * 1024;

/** Calls back once, at once or later, with the message or why there is none; not after the returned function was called. */
export function callUnary(
  cluster: UpstreamCluster | undefined,
  request: UnaryRequest,
  clock: Clock,
  onResult: (result: UnaryResult) => void,
): () => void {
  if (cluster === undefined) {
    onResult(`the cluster "${request.cluster}" does not exist`);
    return () => undefined;
  }
  if (!cluster.admit(false)) {
    onResult(`the cluster "${request.cluster}" is full`);
    return () => undefined;
  }
  const picked = cluster.pick({ cluster: cluster.config, labels: {}, hash: undefined, avoid: [] });
  if (typeof picked === "string") {
    cluster.release(false);
    onResult(`the cluster "${request.cluster}" has no endpoint (${picked})`);
    return () => undefined;
  }
  const call = new UnaryCall(cluster, picked, request, clock, onResult);
  call.start();
  return () => call.cancel();
}

class UnaryCall implements StreamHandler, OpenWaiter {
  readonly #cluster: UpstreamCluster;
  readonly #picked: PickedEndpoint;
  readonly #request: UnaryRequest;
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #onResult: (result: UnaryResult) => void;
  #timer: Timer | undefined = undefined;
  #ticket: OpenTicket | undefined = undefined;
  #stream: HttpStream | undefined = undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #status: string | undefined = undefined;
  #message = "";
  #isOver = false;

  constructor(
    cluster: UpstreamCluster,
    picked: PickedEndpoint,
    request: UnaryRequest,
    clock: Clock,
    onResult: (result: UnaryResult) => void,
  ) {
    this.#cluster = cluster;
    this.#picked = picked;
    this.#request = request;
    this.#clock = clock;
    this.#startMs = clock.nowMs();
    this.#onResult = onResult;
  }

  start(): void {
    const { timeoutMs } = this.#request;
    // Not the wheel's timers: they are 10 ms wide, and a call has 20.
    if (timeoutMs > 0) this.#timer = this.#clock.setTimer(timeoutMs, () => this.#onTimeout());
    const ticket = this.#picked.open("http2", this, this);
    if (this.#stream === undefined && !this.#isOver) this.#ticket = ticket;
  }

  cancel(): void {
    this.#end(GIVEN_UP, undefined);
  }

  // ---- from the pool

  onReady(stream: HttpStream): void {
    this.#ticket = undefined;
    this.#stream = stream;
    if (this.#isOver) {
      stream.reset(GIVEN_UP);
      return;
    }
    const { path, authority, message, timeoutMs } = this.#request;
    const head = HeaderBlock.of(
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", authority],
      ["te", "trailers"],
      ["content-type", "application/grpc"],
      ["user-agent", "heddle"],
    );
    if (timeoutMs > 0) head.add("grpc-timeout", `${Math.ceil(timeoutMs)}m`);
    stream.sendHead(head, false);
    const frame = encodeFrame(0, message);
    stream.sendData(frame, 0, frame.length, true);
  }

  onFailure(reason: AttemptFailure, detail: string): void {
    this.#ticket = undefined;
    this.#fail(reason, `${reason}: ${detail}`);
  }

  // ---- from the service

  onHead(head: HeaderBlock, end: boolean): void {
    const status = head.get(":status");
    if (status !== "200") this.#fail("reset", `it answered with status ${status}`);
    else if (end) this.#onTrailers(head);
  }

  onInformational(): void {
    // It has no meaning for a call.
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (end > start) this.#stream?.consumed(end - start);
    if (this.#isOver) return;
    this.#bytes += end - start;
    if (this.#bytes > MAX_ANSWER_BYTES) {
      this.#fail("protocol", `its answer is above ${MAX_ANSWER_BYTES} bytes`);
      return;
    }
    if (end > start) this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
    if (last) this.#fail("protocol", "its answer has no grpc-status");
  }

  onTrailers(trailers: HeaderBlock): void {
    this.#onTrailers(trailers);
  }

  onReset(error: StreamError): void {
    this.#fail("reset", error.message);
  }

  onDrain(): void {
    // One small message was sent.
  }

  #onTrailers(trailers: HeaderBlock): void {
    if (this.#isOver) return;
    this.#status = trailers.get("grpc-status");
    this.#message = decodeGrpcMessage(trailers.get("grpc-message") ?? "");
    const all = Buffer.concat(this.#chunks);
    const latencyMs = this.#clock.nowMs() - this.#startMs;
    const grpcStatus = Number(this.#status ?? "2");
    this.#picked.report({ kind: "response", status: 200, grpcStatus, latencyMs, retryAfterMs: 0 });
    if (grpcStatus !== 0) {
      this.#end(
        undefined,
        `it answered grpc-status ${this.#status ?? "nothing"}${this.#message === "" ? "" : ` (${this.#message})`}`,
      );
      return;
    }
    const isWhole =
      all.length >= FRAME_HEAD_BYTES && all.readUInt32BE(1) === all.length - FRAME_HEAD_BYTES && all[0] === 0;
    this.#end(undefined, isWhole ? all.subarray(FRAME_HEAD_BYTES) : "its answer is no single message");
  }

  #onTimeout(): void {
    this.#fail("per-try-timeout", `it did not answer within ${this.#request.timeoutMs} ms`);
  }

  #fail(reason: AttemptFailure, detail: string): void {
    if (this.#isOver) return;
    this.#picked.report({ kind: "failure", reason, latencyMs: this.#clock.nowMs() - this.#startMs });
    this.#end(GIVEN_UP, detail);
  }

  #end(error: StreamError | undefined, result: UnaryResult | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#ticket?.cancel();
    this.#ticket = undefined;
    if (error !== undefined) this.#stream?.reset(error);
    this.#picked.done();
    this.#cluster.release(false);
    if (result !== undefined) this.#onResult(result);
  }
}
