// Compiles the matchers of the model into flat objects that look at one request. Regular expressions are RE2, so that no
// pattern can backtrack (Envoy's `safe_regex`); they must match the whole value.
import type { HeaderMatcher, QueryMatcher } from "#config/model/matcher.ts";
import { compileString } from "#config/model/string-test.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

export interface HeaderTest {
  readonly name: string;
  matches(head: HeaderBlock): boolean;
}

/** Envoy's semantics: an absent header matches only inverted matchers, `present: false`, or `missingAsEmpty`. */
export function compileHeader(matcher: HeaderMatcher): HeaderTest {
  const { name, invert, missingAsEmpty, match } = matcher;
  switch (match.kind) {
    case "present": {
      const wanted = match.present !== invert;
      return { name, matches: (head) => (missingAsEmpty || head.has(name)) === wanted };
    }
    case "range":
      return {
        name,
        matches(head) {
          const value = head.getJoined(name) ?? (missingAsEmpty ? "" : undefined);
          if (value === undefined) return invert;
          const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
          return (number >= match.start && number < match.end) !== invert;
        },
      };
    case "string": {
      const test = compileString(match.matcher);
      return {
        name,
        matches(head) {
          const value = head.getJoined(name) ?? (missingAsEmpty ? "" : undefined);
          if (value === undefined) return invert;
          return test(value) !== invert;
        },
      };
    }
    default:
      return match satisfies never;
  }
}

/** Looks at the first parameter of that name, percent-decoded; `query` is what follows `?`. */
export function compileQuery(matcher: QueryMatcher): (query: URLSearchParams) => boolean {
  const { name, match } = matcher;
  if (match.kind === "present") return (query) => query.has(name) === match.present;
  const test = compileString(match.matcher);
  return (query) => {
    const value = query.get(name);
    return value !== null && test(value);
  };
}
