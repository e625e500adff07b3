// How busy the application behind a sidecar is, counted from outside: what runs, what comes, what fails.
import type { Clock } from "#lib/clock.ts";

/** Requests, errors, and the time that requests ran for, in ms; of all threads, since ever, wrapping around. */
export const LOAD_CELLS = 3;
const REQUESTS = 0;
const ERRORS = 1;
const BUSY_MS = 2;

/** The time over which a report looks, and for which it holds. */
const WINDOW_MS = 1000;

/**
 * The utilisation is the mean number of requests that ran: with the rate it gives the time that the instance takes for one (Little's
 * law), so that weights of rate / utilisation lead away from whoever is slow, for whatever reason. CPU cannot be seen from
 * another container.
 */
export class ApplicationLoad {
  readonly #clock: Clock;
  readonly #totals: Int32Array;
  readonly #before = new Int32Array(LOAD_CELLS);
  #running = 0;
  #touchedMs: number;
  #sampledMs: number;
  /** Busy time below a whole ms. */
  #rest = 0;
  #text = "";

  constructor(clock: Clock, totals: Int32Array) {
    this.#clock = clock;
    this.#totals = totals;
    this.#touchedMs = clock.nowMs();
    this.#sampledMs = this.#touchedMs;
    this.#remember();
  }

  began(): void {
    this.#touch(this.#clock.nowMs());
    this.#running++;
    Atomics.add(this.#totals, REQUESTS, 1);
  }

  ended(isError: boolean): void {
    this.#touch(this.#clock.nowMs());
    this.#running--;
    if (isError) Atomics.add(this.#totals, ERRORS, 1);
  }

  /** An ORCA report as text; "" while there is nothing to say. */
  report(): string {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - this.#sampledMs;
    if (elapsedMs < WINDOW_MS) return this.#text;
    this.#touch(nowMs);
    const since = (cell: number): number => (Atomics.load(this.#totals, cell) - (this.#before[cell] ?? 0)) | 0;
    const rate = (since(REQUESTS) * 1000) / elapsedMs;
    const errors = (since(ERRORS) * 1000) / elapsedMs;
    const utilization = since(BUSY_MS) / elapsedMs;
    this.#text =
      rate > 0 && utilization > 0
        ? `TEXT rps_fractional=${rate.toFixed(3)},eps=${errors.toFixed(3)},application_utilization=${utilization.toFixed(4)},named_metrics.in_flight=${this.#running}`
        : "";
    this.#sampledMs = nowMs;
    this.#remember();
    return this.#text;
  }

  #touch(nowMs: number): void {
    const busy = this.#running * (nowMs - this.#touchedMs) + this.#rest;
    this.#touchedMs = nowMs;
    const whole = Math.floor(busy);
    this.#rest = busy - whole;
    if (whole > 0) Atomics.add(this.#totals, BUSY_MS, whole);
  }

  #remember(): void {
    for (let i = 0; i < LOAD_CELLS; i++) this.#before[i] = Atomics.load(this.#totals, i);
  }
}
