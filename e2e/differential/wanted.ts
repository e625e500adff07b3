// Holds what came back against what the case expects.
import type { Step, WantedCount, WantedHeader } from "./case-schema.ts";
import type { Fields } from "./client.ts";
import type { Exchange } from "./play.ts";

/** `what` is a path, as `headers.x-a`. */
export interface Failure {
  readonly what: string;
  readonly wanted: unknown;
  readonly found: unknown;
}

export function inBounds(wanted: WantedCount, found: number): boolean {
  if (typeof wanted === "number") return found === wanted;
  return found >= (wanted.min ?? 0) && found <= (wanted.max ?? Infinity);
}

/** What is wrong with one exchange. */
export function failuresOf(exchange: Exchange): readonly Failure[] {
  const { wanted } = exchange;
  const failures: Failure[] = [];
  const same = (what: string, value: unknown, found: unknown): void => {
    if (value !== undefined && value !== found) failures.push({ what, wanted: value, found });
  };
  const { seen, tookMs } = wanted;
  if (exchange.error !== undefined && wanted.error !== true)
    failures.push({ what: "error", wanted: undefined, found: exchange.error });
  if (wanted.error === true && exchange.error === undefined)
    failures.push({ what: "error", wanted: "broken off", found: undefined });
  same("status", wanted.status, exchange.status);
  same("upstream", wanted.upstream, exchange.upstream);
  same("body", wanted.body, exchange.body);
  same("bodyBytes", wanted.bodyBytes, exchange.body.length);
  if (wanted.bodyMatches !== undefined && !new RegExp(wanted.bodyMatches).test(exchange.body))
    failures.push({ what: "body", wanted: `/${wanted.bodyMatches}/`, found: exchange.body });
  failures.push(...wrongHeaders("headers", wanted.headers, exchange.headers));
  failures.push(...wrongHeaders("trailers", wanted.trailers, exchange.trailers));
  if (wanted.calls !== undefined && !inBounds(wanted.calls, exchange.seen.length))
    failures.push({ what: "calls", wanted: wanted.calls, found: exchange.seen.length });
  const last = exchange.seen.at(-1);
  if (seen !== undefined) {
    same("seen.method", seen.method, last?.method);
    same("seen.path", seen.path, last?.path);
    same("seen.authority", seen.authority, last?.authority);
    same("seen.body", seen.body, last?.body);
    failures.push(...wrongHeaders("seen.headers", seen.headers, last?.headers ?? {}));
  }
  if (tookMs !== undefined && !inBounds(tookMs, exchange.tookMs))
    failures.push({ what: "tookMs", wanted: tookMs, found: Math.round(exchange.tookMs) });
  return failures;
}

function wrongHeaders(
  at: string,
  wanted: Readonly<Record<string, WantedHeader>> = {},
  found: Fields,
): readonly Failure[] {
  return Object.entries(wanted).flatMap(([name, value]) => {
    const values = found[name.toLowerCase()];
    return fits(value, values) ? [] : [{ what: `${at}.${name.toLowerCase()}`, wanted: value, found: values }];
  });
}

function fits(wanted: WantedHeader, values: readonly string[] | undefined): boolean {
  if (wanted === null || values === undefined) return wanted === null && values === undefined;
  if (Array.isArray(wanted)) return wanted.length === values.length && wanted.every((item, i) => item === values[i]);
  if (typeof wanted === "object" && "matches" in wanted)
    return values.every((value) => new RegExp(wanted.matches).test(value));
  return values.length === 1 && values[0] === String(wanted);
}

/** What is wrong with all exchanges of a step together. */
export function failuresTogether(step: Step, exchanges: readonly Exchange[]): readonly Failure[] {
  const statuses = countBy(exchanges, ({ status, error }) => (error === undefined ? String(status) : "error"));
  const upstreams = countBy(exchanges, ({ upstream }) => upstream ?? "none");
  const failures = [
    ...wrongCounts("statuses", step.statuses, statuses),
    ...wrongShares("statusShares", step.statusShares, statuses, exchanges.length),
    ...wrongCounts("upstreams", step.upstreams, upstreams),
    ...wrongShares("shares", step.shares, upstreams, exchanges.length),
  ];
  if (step.sameUpstream === true && upstreams.size > 1)
    failures.push({ what: "sameUpstream", wanted: "one", found: Object.fromEntries(upstreams) });
  return failures;
}

function countBy(exchanges: readonly Exchange[], keyOf: (exchange: Exchange) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const exchange of exchanges) counts.set(keyOf(exchange), (counts.get(keyOf(exchange)) ?? 0) + 1);
  return counts;
}

/** Whoever is not named must not be there. */
function wrongCounts(
  what: string,
  wanted: Readonly<Record<string, WantedCount>> | undefined,
  found: ReadonlyMap<string, number>,
): readonly Failure[] {
  if (wanted === undefined) return [];
  const isGood =
    Object.entries(wanted).every(([name, count]) => inBounds(count, found.get(name) ?? 0)) &&
    [...found.keys()].every((name) => Object.hasOwn(wanted, name));
  return isGood ? [] : [{ what, wanted, found: Object.fromEntries(found) }];
}

const SIGMAS = 4;

function wrongShares(
  what: string,
  wanted: Readonly<Record<string, number>> | undefined,
  found: ReadonlyMap<string, number>,
  total: number,
): readonly Failure[] {
  if (wanted === undefined) return [];
  const isGood = Object.entries(wanted).every(([name, share]) => {
    const sigma = Math.sqrt(total * share * (1 - share));
    return Math.abs((found.get(name) ?? 0) - total * share) <= SIGMAS * sigma;
  });
  return isGood ? [] : [{ what, wanted, found: Object.fromEntries(found) }];
}
