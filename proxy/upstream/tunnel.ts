// Opaque bytes to a mesh peer: a CONNECT stream with `:protocol: heddle-tcp` on the pooled connection (contracts.md: the mesh hop).
import type { AttemptFailure } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { OpenTicket, OpenWaiter, UpstreamConnectionInfo } from "./contract.ts";

/** The extended CONNECT protocol (RFC 8441) of opaque bytes between two sidecars. */
export const TUNNEL_PROTOCOL = "heddle-tcp";

/** Nothing was sent through it: to the peer it is as if it had not been. */
const UNUSED = makeStreamError("user", "stream", H2_ERROR.NO_ERROR, "the tunnel is not wanted any more");

/** Waits for a stream, sends the CONNECT, waits for 2xx, and from then on passes everything through. */
export class MeshTunnel implements StreamHandler, OpenWaiter, OpenTicket {
  readonly #authority: string;
  readonly #handler: StreamHandler;
  readonly #waiter: OpenWaiter;
  #ticket: OpenTicket | undefined = undefined;
  #stream: HttpStream | undefined = undefined;
  #info: UpstreamConnectionInfo | undefined = undefined;
  #state: "opening" | "open" | "over" = "opening";

  constructor(authority: string, handler: StreamHandler, waiter: OpenWaiter) {
    this.#authority = authority;
    this.#handler = handler;
    this.#waiter = waiter;
  }

  /** `open` asks a pool for a stream, with this as handler and waiter. */
  start(open: (handler: StreamHandler, waiter: OpenWaiter) => OpenTicket): OpenTicket {
    this.#ticket = open(this, this);
    return this;
  }

  cancel(): void {
    if (this.#state !== "opening") return;
    this.#state = "over";
    this.#ticket?.cancel();
    this.#stream?.reset(UNUSED);
  }

  onReady(stream: HttpStream, info: UpstreamConnectionInfo): void {
    if (this.#state !== "opening") {
      stream.reset(UNUSED);
      return;
    }
    this.#stream = stream;
    this.#info = info;
    const head = HeaderBlock.of(
      [":method", "CONNECT"],
      [":scheme", info.isTls ? "https" : "http"],
      [":authority", this.#authority],
      [":path", "/"],
      [":protocol", TUNNEL_PROTOCOL],
    );
    stream.sendHead(head, false);
  }

  onFailure(reason: AttemptFailure, detail: string): void {
    if (this.#state !== "opening") return;
    this.#state = "over";
    this.#waiter.onFailure(reason, detail);
  }

  onHead(head: HeaderBlock, end: boolean): void {
    if (this.#state !== "opening" || this.#stream === undefined || this.#info === undefined) return;
    const status = head.get(":status") ?? "none";
    if (status.startsWith("2")) {
      this.#state = "open";
      this.#waiter.onReady(this.#stream, this.#info, false);
      if (end) this.#handler.onData(Buffer.alloc(0), 0, 0, true);
      return;
    }
    this.#stream.reset(makeStreamError("us", "stream", H2_ERROR.CANCEL, `the peer answered ${status}`));
    const cause = head.get("proxy-status");
    this.onFailure(
      "connect-failure",
      `the peer's sidecar answered CONNECT ${this.#authority} with ${status}${cause === undefined ? "" : `: ${cause}`}`,
    );
  }

  onInformational(): void {
    // 1xx before the answer to CONNECT says nothing to opaque bytes.
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#state === "open") this.#handler.onData(bytes, start, end, last);
    else this.#stream?.consumed(end - start);
  }

  /** Trailers end the peer's direction as FIN does. */
  onTrailers(): void {
    if (this.#state === "open") this.#handler.onData(Buffer.alloc(0), 0, 0, true);
  }

  onReset(error: StreamError): void {
    if (this.#state === "open") {
      this.#state = "over";
      this.#handler.onReset(error);
    } else {
      this.onFailure(error.code === H2_ERROR.REFUSED_STREAM ? "refused-stream" : "reset", error.message);
    }
  }

  onDrain(): void {
    if (this.#state === "open") this.#handler.onDrain();
  }
}
