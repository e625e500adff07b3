// Durations: protobuf's seconds and nanoseconds, the model's milliseconds.
import { create } from "@bufbuild/protobuf";
import { DurationSchema, type Duration } from "@bufbuild/protobuf/wkt";

/** Milliseconds, with a fraction where the wire has one. */
export function toMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function toMsOr(duration: Duration | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : toMs(duration);
}

/** Whole milliseconds in canonical protobuf JSON: `3s`, `0.250s`. */
export function jsonSeconds(ms: number): string {
  return `${ms % 1000 === 0 ? ms / 1000 : (ms / 1000).toFixed(3)}s`;
}

export function fromMs(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) });
}
