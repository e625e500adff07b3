// Compiles the matchers of the model into flat objects that look at one request. Regular expressions are RE2, so that no
// pattern can backtrack (Envoy's `safe_regex`); they must match the whole value.
import type { HeaderMatcher, QueryMatcher } from "#config/model/matcher.ts";
import { compileString } from "#config/model/string-test.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

export interface HeaderTest {
  readonly name: string;
  matches(head: HeaderBlock): boolean;
}

/**
 * Envoy's semantics: an absent header matches only `present: false` or `missingAsEmpty`, inverted or not. Of several values one
 * must match, or none where it is inverted; the crumbs of a cookie are one value (RFC 9113 §8.2.3).
 */
export function compileHeader(matcher: HeaderMatcher): HeaderTest {
  const { name, invert, missingAsEmpty, match } = matcher;
  switch (match.kind) {
    case "present": {
      const wanted = match.present !== invert;
      return { name, matches: (head) => (missingAsEmpty || head.has(name)) === wanted };
    }
    case "range":
      return compileValues(matcher, (value) => {
        const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
        return number >= match.start && number < match.end;
      });
    case "string":
      return compileValues(matcher, compileString(match.matcher));
    default:
      return match satisfies never;
  }
}

function compileValues({ name, invert, missingAsEmpty }: HeaderMatcher, test: (value: string) => boolean): HeaderTest {
  const whenAbsent = missingAsEmpty && test("") !== invert;
  if (name === "cookie")
    return {
      name,
      matches(head) {
        const value = head.getJoined(name);
        return value === undefined ? whenAbsent : test(value) !== invert;
      },
    };
  return {
    name,
    matches(head) {
      let i = head.indexOf(name);
      if (i < 0) return whenAbsent;
      for (; i >= 0; i = head.indexOf(name, i + 1)) if (test(head.valueAt(i))) return !invert;
      return invert;
    },
  };
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
