// Requests and successes of the last so many seconds, in integer cells that data threads share.

/** Of one second: which it is, its requests, its successes. */
const SLOT_CELLS = 3;

export function successWindowCells(seconds: number): number {
  return (seconds + 1) * SLOT_CELLS;
}

/** Moves by whole seconds. The seconds before the running one are added up once in a second and not at each request. */
export class SuccessWindow {
  requests = 0;
  successes = 0;
  readonly #seconds: number;
  readonly #cells: Int32Array;
  #readAt: number | undefined = undefined;
  #olderRequests = 0;
  #olderSuccesses = 0;
  #oldestAge = 0;

  /** `cells` has `successWindowCells(seconds)`, all zero at first. */
  constructor(seconds: number, cells: Int32Array) {
    this.#seconds = seconds;
    this.#cells = cells;
  }

  add(nowMs: number, isSuccess: boolean): void {
    const slot = this.#slotOf(secondOf(nowMs));
    Atomics.add(this.#cells, slot + 1, 1);
    if (isSuccess) Atomics.add(this.#cells, slot + 2, 1);
  }

  /** Brings `requests` and `successes` up to date. */
  read(nowMs: number): void {
    const second = secondOf(nowMs);
    if (second !== this.#readAt) this.#readOlder(second);
    const slot = this.#slotOf(second);
    this.requests = this.#olderRequests + Atomics.load(this.#cells, slot + 1);
    this.successes = this.#olderSuccesses + Atomics.load(this.#cells, slot + 2);
  }

  /** Requests a second since the oldest that still counts, as of the last `read`. */
  get rps(): number {
    return this.requests / Math.max(1, this.#oldestAge);
  }

  #readOlder(second: number): void {
    const cells = this.#cells;
    this.#readAt = second;
    this.#olderRequests = 0;
    this.#olderSuccesses = 0;
    this.#oldestAge = 0;
    for (let slot = 0; slot < cells.length; slot += SLOT_CELLS) {
      const age = (second - Atomics.load(cells, slot)) | 0;
      if (age <= 0 || age >= this.#seconds) continue;
      const requests = Atomics.load(cells, slot + 1);
      if (requests === 0) continue;
      this.#olderRequests += requests;
      this.#olderSuccesses += Atomics.load(cells, slot + 2);
      this.#oldestAge = Math.max(this.#oldestAge, age);
    }
  }

  /** That of this second: whoever comes first empties it of what it was. */
  #slotOf(second: number): number {
    const cells = this.#cells;
    const slot = (second % (this.#seconds + 1)) * SLOT_CELLS;
    const was = Atomics.load(cells, slot);
    if (was !== second && Atomics.compareExchange(cells, slot, was, second) === was) {
      Atomics.store(cells, slot + 1, 0);
      Atomics.store(cells, slot + 2, 0);
    }
    return slot;
  }
}

/** Fits a cell for 68 years of uptime; the first second is not 0, which is an empty cell. */
function secondOf(nowMs: number): number {
  return Math.floor(nowMs / 1000) + 1;
}
