// Durations as Gateway API writes them (GEP-2257): `1h30m`, `10s`, `500ms`.

/** One to four numbers of at most five digits, each with its unit; the pattern of the official CRDs. */
export const durationPattern = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

const wholeDuration = new RegExp(durationPattern);
const onePart = /([0-9]+)(ms|h|m|s)/g;
const unitMs: { readonly [unit: string]: number } = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a duration, or undefined where the text is none. */
export function tryDurationMs(text: string): number | undefined {
  if (!wholeDuration.test(text)) return undefined;
  let totalMs = 0;
  for (const [, count = "", unit = ""] of text.matchAll(onePart)) totalMs += Number(count) * (unitMs[unit] ?? 0);
  return totalMs;
}

/** Milliseconds of a duration that was checked when its resource was parsed; throws a TypeError for any other text. */
export function durationMs(text: string): number {
  const result = tryDurationMs(text);
  if (result === undefined) throw new TypeError(`Cannot parse duration: got ${JSON.stringify(text)}`);
  return result;
}

/** The shortest text of a duration, largest unit first: 5400000 is "1h30m". `ms` is a whole number of at most 99999 hours. */
export function formatDuration(ms: number): string {
  if (!Number.isSafeInteger(ms) || ms < 0 || ms >= 100_000 * 3_600_000)
    throw new RangeError(`Cannot write ${ms} ms as a duration: it must be a whole number from 0 to 99999h`);
  if (ms === 0) return "0s";
  let text = "";
  let rest = ms;
  for (const [unit, size] of Object.entries(unitMs)) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

const spokenUnits: { readonly [word: string]: string } = {
  h: "h",
  hr: "h",
  hrs: "h",
  hour: "h",
  hours: "h",
  m: "m",
  min: "m",
  mins: "m",
  minute: "m",
  minutes: "m",
  s: "s",
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  ms: "ms",
  msec: "ms",
  msecs: "ms",
  millis: "ms",
  millisecond: "ms",
  milliseconds: "ms",
};

/** What the writer of something that is not a duration probably meant. */
export function durationHint(value: unknown): string {
  if (typeof value === "number") return `a duration has a unit: "${value}s" or "${value}ms"`;
  const usual = "write it as 500ms, 10s or 1h30m";
  if (typeof value !== "string") return usual;
  const text = value.trim().toLowerCase();
  if (/^\d{1,5}$/.test(text)) return `a duration has a unit: "${text}s" or "${text}ms"`;
  const [, whole = "", fraction, word = ""] = /^(\d{1,5})(?:\.(\d{1,3}))?\s*([a-z]+)$/.exec(text) ?? [];
  if (word === "d" || word === "day" || word === "days") return `days are written as hours: "${Number(whole) * 24}h"`;
  const unit = spokenUnits[word];
  if (unit === undefined) return usual;
  if (fraction === undefined) return `did you mean "${whole}${unit}"?`;
  const exactMs = Number(`${whole}.${fraction}`) * (unitMs[unit] ?? 1);
  return Number.isInteger(exactMs) ? `there are no fractions: write "${formatDuration(exactMs)}"` : usual;
}
