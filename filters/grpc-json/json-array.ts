// Cuts the elements out of a JSON array as its bytes come, so that each can go on before the next has come. What an element says
// is left to the JSON parser.

import { BodyTooLargeError } from "./replies.ts";

/** The body of a streaming call is no JSON array. */
export class JsonArrayError extends Error {}

const NO_ARRAY = "the body of a streaming call must be a JSON array";
const [QUOTE, BACKSLASH, COMMA] = [34, 92, 44];
const SPACES = new Set([9, 10, 13, 32]);
const OPENERS = new Set([91, 123]);
const CLOSERS = new Set([93, 125]);

type Place = "before" | "inside" | "behind";

export class JsonArraySplitter {
  readonly #maxBytes: number;
  #place: Place = "before";
  /** Brackets that are open inside the element. */
  #depth = 0;
  #isString = false;
  #isEscaped = false;
  #hasElements = false;
  #kept: Buffer[] = [];
  #keptBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The elements that these bytes complete. Throws a `JsonArrayError`, or a `BodyTooLargeError` for an element beyond the limit. */
  split(bytes: Buffer, start: number, end: number, last: boolean): readonly string[] {
    const elements: string[] = [];
    let from = start;
    for (let i = start; i < end; i++) {
      const char = bytes[i] ?? 0;
      if (this.#place === "inside") {
        if (!this.#endsElement(char)) continue;
        this.#keep(bytes, from, i);
        const element = Buffer.concat(this.#kept).toString().trim();
        this.#kept = [];
        this.#keptBytes = 0;
        from = i + 1;
        const isEnd = char !== COMMA;
        if (element === "" && (!isEnd || this.#hasElements)) throw new JsonArrayError("an element is missing");
        if (element !== "") elements.push(element);
        this.#hasElements = true;
        if (isEnd) this.#place = "behind";
      } else if (!SPACES.has(char)) {
        if (this.#place === "behind") throw new JsonArrayError("something follows the array");
        if (char !== 91) throw new JsonArrayError(NO_ARRAY);
        this.#place = "inside";
        from = i + 1;
      }
    }
    if (this.#place === "inside") this.#keep(bytes, from, end);
    if (last && this.#place === "inside") throw new JsonArrayError("the array has no end");
    if (last && this.#place === "before") throw new JsonArrayError(NO_ARRAY);
    return elements;
  }

  /** A comma or the closing bracket of the array itself. */
  #endsElement(char: number): boolean {
    if (this.#isString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (char === BACKSLASH) this.#isEscaped = true;
      else if (char === QUOTE) this.#isString = false;
      return false;
    }
    if (char === QUOTE) this.#isString = true;
    else if (OPENERS.has(char)) this.#depth++;
    else if (CLOSERS.has(char) && this.#depth > 0) this.#depth--;
    else return this.#depth === 0 && (char === COMMA || char === 93);
    return false;
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    this.#keptBytes += to - from;
    if (this.#keptBytes > this.#maxBytes) throw new BodyTooLargeError();
    if (to > from) this.#kept.push(Buffer.from(bytes.subarray(from, to)));
  }
}
