// Compiles a matcher of strings. Regular expressions are RE2, so that no pattern can backtrack (Envoy's `safe_regex`).
import { compileRe2 } from "#lib/re2.ts";

import type { StringMatcher } from "./matcher.ts";

/** Says whether one string matches. */
export type StringTest = (value: string) => boolean;

/** Throws when a regular expression is not valid RE2. */
export function compileString(matcher: StringMatcher): StringTest {
  if (matcher.kind === "regex") {
    const pattern = compileRe2(matcher.value);
    return (value) => pattern.matches(value);
  }
  const wanted = matcher.ignoreCase ? matcher.value.toLowerCase() : matcher.value;
  const fold = matcher.ignoreCase ? (value: string) => value.toLowerCase() : undefined;
  switch (matcher.kind) {
    case "exact":
      return fold === undefined ? (value) => value === wanted : (value) => fold(value) === wanted;
    case "prefix":
      return fold === undefined ? (value) => value.startsWith(wanted) : (value) => fold(value).startsWith(wanted);
    case "suffix":
      return fold === undefined ? (value) => value.endsWith(wanted) : (value) => fold(value).endsWith(wanted);
    case "contains":
      return fold === undefined ? (value) => value.includes(wanted) : (value) => fold(value).includes(wanted);
    default:
      return matcher satisfies never;
  }
}
