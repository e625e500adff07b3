// Counts what a peer makes us do for nothing, and says when it is enough (Envoy's limits, CVE-2019-9511 and on).
import type { Http2Settings } from "./settings.ts";

/** A stream that lived shorter and got no answer was reset "prematurely". */
export const PREMATURE_MS = 1000;
/** Each stream that was opened and each DATA frame that we sent lets the peer send so many idle frames more. */
const IDLE_FRAMES_PER_WORK = 4;

/** Each method counts one event and gives the reason to close the connection, or "". */
export class FloodGuard {
  readonly #settings: Http2Settings;
  #streams = 0;
  #prematureResets = 0;
  /** Of the last window of streams, for the share of premature ones. */
  #recentStreams = 0;
  #dataFramesSent = 0;
  #priorities = 0;
  #windowUpdates = 0;
  #emptyFrames = 0;
  /** Of the second that ends at `#secondEndsMs`. */
  #idleFrames = 0;
  #work = 0;
  #secondEndsMs = 0;
  #waitingControls = 0;
  #waitingFrames = 0;

  constructor(settings: Http2Settings) {
    this.#settings = settings;
  }

  /** Before each read. */
  beginRead(nowMs: number): void {
    if (nowMs < this.#secondEndsMs) return;
    this.#secondEndsMs = nowMs + 1000;
    this.#idleFrames = 0;
    this.#work = 0;
  }

  /**
   * A frame that carries nothing for any stream of ours: SETTINGS, PING, GOAWAY, PRIORITY, unknown types, whatever comes for a
   * stream that is over or refused, DATA of padding alone, a window that opens by a few bytes, an informational response.
   */
  countIdle(): string {
    const limit = this.#settings.maxIdleFramesPerSecond + IDLE_FRAMES_PER_WORK * this.#work;
    return ++this.#idleFrames > limit ? "too many frames that carry nothing" : "";
  }

  /** A stream that is served was opened. */
  countWork(): void {
    this.#work++;
  }

  countStream(): void {
    this.#streams++;
    this.#recentStreams++;
    const span = this.#settings.maxPrematureResets * 4;
    if (this.#recentStreams < span) return;
    this.#recentStreams >>= 1;
    this.#prematureResets >>= 1;
  }

  /** Rapid reset (CVE-2023-44487), and resets that the peer provoked from us (CVE-2025-8671); `weight`: how many it is worth. */
  countPrematureReset(weight = 1): string {
    this.#prematureResets += weight;
    if (this.#prematureResets <= this.#settings.maxPrematureResets) return "";
    return this.#prematureResets * 2 > this.#recentStreams ? "too many streams reset before an answer" : "";
  }

  countPriority(): string {
    const limit = this.#settings.maxInboundPriorityFramesPerStream * (1 + this.#streams);
    return ++this.#priorities > limit ? "too many PRIORITY frames" : "";
  }

  countWindowUpdate(): string {
    const perFrame = this.#settings.maxInboundWindowUpdateFramesPerDataFrame;
    const limit = 5 + 2 * (this.#streams + perFrame * this.#dataFramesSent);
    return ++this.#windowUpdates > limit ? "too many WINDOW_UPDATE frames" : "";
  }

  /** DATA, HEADERS or CONTINUATION: empty ones that end nothing cost us and carry nothing. */
  countInbound(isEmpty: boolean): string {
    if (!isEmpty) {
      this.#emptyFrames = 0;
      return "";
    }
    return ++this.#emptyFrames > this.#settings.maxConsecutiveInboundEmptyDataFrames ? "too many empty frames" : "";
  }

  countDataSent(isWork: boolean): void {
    if (isWork) this.#work++;
    this.#dataFramesSent++;
  }

  /** A frame was written that answers one of the peer's. */
  countControl(): string {
    return ++this.#waitingControls > this.#settings.maxOutboundControlFrames ? "too many unread control frames" : "";
  }

  /** Header frames, which no window holds back. */
  countFrame(): string {
    return ++this.#waitingFrames > this.#settings.maxOutboundFrames ? "too many unread frames" : "";
  }

  get hasWaiting(): boolean {
    return this.#waitingControls > 0 || this.#waitingFrames > 0;
  }

  /** The socket has taken everything. */
  clearWaiting(): void {
    this.#waitingControls = 0;
    this.#waitingFrames = 0;
  }
}
