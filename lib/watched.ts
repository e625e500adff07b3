// A value that is watched: the current one at once, then each that differs. Equal means silence.

export interface Watched<T> {
  readonly current: T;
  /** Calls with the current value at once, then on each change, until the returned function is called. */
  subscribe(listener: (value: T) => void): () => void;
}

export class WatchedValue<T> implements Watched<T> {
  #current: T;
  readonly #isEqual: (left: T, right: T) => boolean;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(initial: T, isEqual: (left: T, right: T) => boolean = Object.is) {
    this.#current = initial;
    this.#isEqual = isEqual;
  }

  get current(): T {
    return this.#current;
  }

  set(value: T): void {
    if (this.#isEqual(this.#current, value)) return;
    this.#current = value;
    for (const listener of this.#listeners) listener(value);
  }

  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#current);
    return () => this.#listeners.delete(listener);
  }
}
