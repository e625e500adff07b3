// google.protobuf.Struct and Envoy's Metadata in their plain form.
import type { JsonValue } from "../../model/filter-config.ts";
import type { Labels } from "../../model/route.ts";
import { NONE, NOT_PLAIN, type PlainReader } from "./plain-reader.ts";

type Struct = { readonly [key: string]: JsonValue };

const EMPTY: Struct = {};
const MAX_DEPTH = 20;

/** The struct under one key of a Metadata; keys of others are read over. */
export function readMetadata(reader: PlainReader, end: number, wanted: string): Struct {
  const stop = reader.stop(end);
  let found = EMPTY;
  while (reader.at < stop) {
    if (reader.varint() !== 0x0a) throw NOT_PLAIN;
    const [key, value] = readEntry(reader, stop, readStruct, 0);
    if (key === wanted) found = value;
  }
  reader.close(stop);
  return found;
}

/** The labels under one key of a Metadata: text, numbers and booleans. */
export function readLabels(reader: PlainReader, end: number, wanted: string): Labels {
  const labels: Record<string, string> = {};
  for (const [name, value] of Object.entries(readMetadata(reader, end, wanted))) {
    if (typeof value === "object") throw NOT_PLAIN;
    labels[name] = String(value);
  }
  return labels;
}

function readStruct(reader: PlainReader, end: number, depth: number): Struct {
  const stop = reader.stop(end);
  const struct: Record<string, JsonValue> = {};
  while (reader.at < stop) {
    if (reader.varint() !== 0x0a) throw NOT_PLAIN;
    const [key, value] = readEntry(reader, stop, readValue, depth);
    struct[key] = value;
  }
  reader.close(stop);
  return struct;
}

/** A map's entry: first its key, then its value. */
function readEntry<T>(
  reader: PlainReader,
  end: number,
  read: (reader: PlainReader, end: number, depth: number) => T,
  depth: number,
): readonly [key: string, value: T] {
  const stop = reader.stop(end);
  if (reader.varint() !== 0x0a) throw NOT_PLAIN;
  const key = reader.someText(stop);
  if (key === "__proto__" || reader.varint() !== 0x12) throw NOT_PLAIN;
  const value = read(reader, stop, depth);
  reader.close(stop);
  return [key, value];
}

function readValue(reader: PlainReader, end: number, depth: number): JsonValue {
  if (depth >= MAX_DEPTH) throw NOT_PLAIN;
  const stop = reader.stop(end);
  const value = readKind(reader, stop, depth + 1);
  reader.close(stop);
  return value;
}

function readKind(reader: PlainReader, stop: number, depth: number): JsonValue {
  switch (reader.varint()) {
    case 0x08:
      if (reader.varint() !== 0) throw NOT_PLAIN;
      return null;
    case 0x11:
      return reader.double(stop);
    case 0x1a:
      return reader.text(stop);
    case 0x20:
      return reader.bool();
    case 0x2a:
      return readStruct(reader, stop, depth);
    case 0x32:
      return readList(reader, stop, depth);
    default:
      throw NOT_PLAIN;
  }
}

function readList(reader: PlainReader, end: number, depth: number): readonly JsonValue[] {
  const stop = reader.stop(end);
  if (reader.at === stop) return NONE;
  const list: JsonValue[] = [];
  while (reader.at < stop) {
    if (reader.varint() !== 0x0a) throw NOT_PLAIN;
    list.push(readValue(reader, stop, depth));
  }
  reader.close(stop);
  return list;
}
