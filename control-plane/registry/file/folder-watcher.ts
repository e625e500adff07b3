// Watches a folder: the kernel's events, coalesced, with a slow poll beneath for file systems that send none.
import { watch, type FSWatcher } from "node:fs";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { Backoff } from "../backoff.ts";
import type { FolderChange } from "./folder-scanner.ts";
import { FolderScanner } from "./folder-scanner.ts";

export interface WatchTimes {
  /** Quiet after an event before the folder is looked at, and how long a stream of events can put that off. */
  readonly quietMs: number;
  readonly longestMs: number;
  readonly pollMs: number;
}

const watchTimes: WatchTimes = { quietMs: 50, longestMs: 1000, pollMs: 2000 };

export interface FolderListener {
  onChange(change: FolderChange): void;
  /** The folder cannot be read; it is tried again by itself. */
  onError(error: Error): void;
  /** The folder was looked at and is as it was. */
  onUnchanged(): void;
}

export interface FolderWatcherOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly times?: WatchTimes;
}

export class FolderWatcher {
  readonly #options: FolderWatcherOptions;
  readonly #times: WatchTimes;
  readonly #scanner: FolderScanner;
  readonly #backoff: Backoff;
  readonly #listener: FolderListener;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #firstEventMs: number | undefined;
  #scanning: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: FolderWatcherOptions, listener: FolderListener) {
    this.#options = options;
    this.#times = options.times ?? watchTimes;
    this.#scanner = new FolderScanner(options.folder, () => options.clock.wallMs());
    this.#backoff = new Backoff(options.random, 100, 5000);
    this.#listener = listener;
  }

  /** Looks once, then watches. */
  start(): void {
    this.#watch();
    this.#scan();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#watcher?.close();
    await this.#scanning;
  }

  #watch(): void {
    if (this.#watcher !== undefined || this.#isClosed) return;
    try {
      const watcher = watch(this.#options.folder, { recursive: true, persistent: false }, () => this.#onEvent());
      this.#watcher = watcher;
      watcher.on("error", (error) => {
        this.#options.log.debug("folder events failed, polling goes on", { folder: this.#options.folder, error });
        watcher.close();
        this.#watcher = undefined;
      });
    } catch (error) {
      this.#options.log.debug("folder cannot be watched, polling goes on", { folder: this.#options.folder, error });
    }
  }

  #onEvent(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#firstEventMs ??= nowMs;
    const restMs = this.#firstEventMs + this.#times.longestMs - nowMs;
    this.#scanAfter(Math.max(0, Math.min(this.#times.quietMs, restMs)));
  }

  #scanAfter(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, () => this.#scan());
  }

  #scan(): void {
    if (this.#isClosed) return;
    if (this.#scanning !== undefined) {
      this.#scanAfter(this.#times.quietMs);
      return;
    }
    this.#firstEventMs = undefined;
    this.#timer = undefined;
    this.#scanning = this.#scanOnce().finally(() => {
      this.#scanning = undefined;
    });
  }

  async #scanOnce(): Promise<void> {
    let nextMs = this.#times.pollMs;
    try {
      const change = await this.#scanner.scan();
      if (this.#isClosed) return;
      this.#backoff.reset();
      this.#watch();
      if (change.isUnsettled) nextMs = this.#times.quietMs;
      if (change.changed.size > 0 || change.removed.length > 0) this.#listener.onChange(change);
      else if (!change.isUnsettled) this.#listener.onUnchanged();
    } catch (error) {
      if (this.#isClosed) return;
      nextMs = this.#backoff.next();
      // What was watched may not be there any more: begin anew with the next success.
      this.#watcher?.close();
      this.#watcher = undefined;
      this.#listener.onError(error instanceof Error ? error : new Error(describeError(error)));
    }
    // An event during the scan has set an earlier timer already.
    if (this.#timer === undefined) this.#scanAfter(nextMs);
  }
}
