// Small words for building messages: fields that are left out when they say what Envoy takes anyway.
import { fromMs } from "./duration.ts";
import type { Duration } from "@bufbuild/protobuf/wkt";

/** `{ [key]: value }`, or nothing when the value is the default. */
export function unless<K extends string, T>(key: K, value: T, fallback: T): { [P in K]?: T } {
  return value === fallback ? {} : ({ [key]: value } as { [P in K]?: T });
}

/** `{ [key]: value }`, or nothing when there is no value. */
export function given<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: T });
}

/** A duration field in ms, left out when it is the default. */
export function durationUnless<K extends string>(key: K, ms: number, defaultMs: number): { [P in K]?: Duration } {
  return ms === defaultMs ? {} : ({ [key]: fromMs(ms) } as { [P in K]?: Duration });
}

/** A duration field in ms, left out when there is none. */
export function durationGiven<K extends string>(key: K, ms: number | undefined): { [P in K]?: Duration } {
  return ms === undefined ? {} : ({ [key]: fromMs(ms) } as { [P in K]?: Duration });
}
