// What hosts, routes and weighted clusters all say about headers, in its plain form: values without operators.
import type { HeaderMutations, HeaderValue } from "../../model/route.ts";
import { NONE, NOT_PLAIN, once, type PlainReader } from "./plain-reader.ts";

export const NO_MUTATIONS: HeaderMutations = { set: NONE, add: NONE, addIfAbsent: NONE, remove: NONE };

const MAX_OPTIONS = 1000;
const MAX_LENGTH = 16_384;

/** Collects what stands in a message's fields, in whatever order they come. */
export class MutationsBuilder {
  readonly #set: HeaderValue[] = [];
  readonly #add: HeaderValue[] = [];
  readonly #addIfAbsent: HeaderValue[] = [];
  readonly #remove: string[] = [];
  #options = 0;

  build(): HeaderMutations {
    return { set: this.#set, add: this.#add, addIfAbsent: this.#addIfAbsent, remove: this.#remove };
  }

  readRemoval(reader: PlainReader, end: number): this {
    this.#remove.push(reader.someText(end).toLowerCase());
    return this;
  }

  /** envoy.config.core.v3.HeaderValueOption. */
  readOption(reader: PlainReader, end: number): this {
    const stop = reader.stop(end);
    let header: HeaderValue | undefined;
    let append: boolean | undefined;
    let action = 0;
    let seen = 0;
    while (reader.at < stop) {
      const tag = reader.varint();
      seen = once(seen, tag);
      if (tag === 0x0a) header = readHeader(reader, stop);
      else if (tag === 0x12) append = reader.boolValue(stop);
      else if (tag === 0x18) action = reader.varint();
      else throw NOT_PLAIN;
    }
    reader.close(stop);
    if (header === undefined || ++this.#options > MAX_OPTIONS || (append !== undefined && action !== 0))
      throw NOT_PLAIN;
    this.#listOf(append === false ? 2 : action).push(header);
    return this;
  }

  /** By the number of a HeaderAppendAction. */
  #listOf(action: number): HeaderValue[] {
    if (action === 0) return this.#add;
    if (action === 1) return this.#addIfAbsent;
    if (action === 2) return this.#set;
    throw NOT_PLAIN;
  }
}

function readHeader(reader: PlainReader, end: number): HeaderValue {
  const stop = reader.stop(end);
  let name = "";
  let value = "";
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    seen = once(seen, tag);
    if (tag === 0x0a) name = reader.text(stop);
    else if (tag === 0x12) value = reader.text(stop);
    else throw NOT_PLAIN;
  }
  reader.close(stop);
  const isRouting = name.startsWith(":") || name.toLowerCase() === "host";
  const isLong = name.length > MAX_LENGTH || value.length > MAX_LENGTH;
  if (name === "" || isRouting || isLong || value.includes("%")) throw NOT_PLAIN;
  return { name: name.toLowerCase(), value };
}
