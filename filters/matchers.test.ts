// How a rule looks at strings, headers and query parameters.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { compileString } from "#config/model/string-test.ts";
import type { HeaderMatcher, StringMatcher } from "#config/model/matcher.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { compileHeader, compileQuery } from "./matchers.ts";

function string(kind: "exact" | "prefix" | "suffix" | "contains", value: string, ignoreCase = false): StringMatcher {
  return { kind, value, ignoreCase };
}

describe("a string matcher", () => {
  it("looks at the whole, the begin, the end or any part, with or without letters' case", () => {
    for (const [matcher, yes, no] of [
      [string("exact", "Ab"), "Ab", "ab"],
      [string("exact", "Ab", true), "aB", "abc"],
      [string("prefix", "Ab"), "Abc", "abc"],
      [string("prefix", "Ab", true), "ABc", "cab"],
      [string("suffix", "Ab"), "cAb", "cab"],
      [string("suffix", "Ab", true), "cAB", "abc"],
      [string("contains", "Ab"), "cAbc", "cabc"],
      [string("contains", "Ab", true), "caBc", "acb"],
      [{ kind: "regex", value: "a+b" }, "aab", "aabb"],
    ] as const) {
      const test = compileString(matcher);
      assert.deepEqual([test(yes), test(no)], [true, false], JSON.stringify(matcher));
    }
  });

  it("is RE2: what backtracks is refused, and what would backtrack is not slow", () => {
    assert.throws(() => compileString({ kind: "regex", value: "(a)\\1" }));
    // Each of them would keep a backtracking matcher busy for longer than the sun will shine.
    for (const value of ["(a*)*b", "(a+a+)+b", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)b", "([a-z]+)+[0-9]"])
      assert.equal(compileString({ kind: "regex", value })("a".repeat(60_000)), false, value);
    for (const value of ["((a{100}){100}){100}", "(a{1000}){1000}", "a{1001}"])
      assert.throws(() => compileString({ kind: "regex", value }), /invalid repeat count/, value);
  });
});

describe("a header matcher", () => {
  const head = HeaderBlock.of(
    ["x-a", "1"],
    ["x-a", "2"],
    ["x-n", "-7"],
    ["x-empty", ""],
    ["cookie", "a=1"],
    ["cookie", "b=2"],
  );

  function matches(match: HeaderMatcher["match"], options: Partial<HeaderMatcher> = {}): boolean {
    return compileHeader({ name: "x-a", match, invert: false, missingAsEmpty: false, ...options }).matches(head);
  }

  it("looks at each value of a name, and at a cookie as one", () => {
    for (const [value, invert, expected] of [
      ["1", false, true],
      ["2", false, true],
      ["1, 2", false, false],
      ["2", true, false],
      ["3", true, true],
    ] as const)
      assert.equal(matches({ kind: "string", matcher: string("exact", value) }, { invert }), expected, value);
    assert.equal(matches({ kind: "string", matcher: string("exact", "a=1; b=2") }, { name: "cookie" }), true);
  });

  it("takes an absent header for no match, even inverted, and for empty where it is told so", () => {
    const match = { kind: "string", matcher: string("exact", "") } as const;
    assert.equal(matches(match, { name: "x-none" }), false);
    assert.equal(matches(match, { name: "x-none", invert: true }), false);
    assert.equal(matches(match, { name: "x-none", invert: true, missingAsEmpty: true }), false);
    assert.equal(
      matches({ ...match, matcher: string("exact", "a") }, { name: "x-none", invert: true, missingAsEmpty: true }),
      true,
    );
    assert.equal(matches(match, { name: "x-none", missingAsEmpty: true }), true);
    assert.equal(matches(match, { name: "x-empty" }), true);
  });

  it("asks for presence and absence", () => {
    for (const [present, invert, name, expected] of [
      [true, false, "x-a", true],
      [true, true, "x-a", false],
      [false, false, "x-none", true],
      [false, true, "x-none", false],
    ] as const)
      assert.equal(matches({ kind: "present", present }, { name, invert }), expected, `${present} ${invert} ${name}`);
  });

  it("reads whole numbers for ranges, the end excluded", () => {
    const range = (start: number, end: number, name: string): boolean =>
      matches({ kind: "range", start, end }, { name });
    assert.deepEqual(
      [range(-7, 0, "x-n"), range(-10, -7, "x-n"), range(0, 9, "x-empty"), range(0, 9, "x-none"), range(2, 9, "x-a")],
      [true, false, false, false, true],
    );
  });
});

describe("a query matcher", () => {
  it("looks at the first parameter of the name, decoded", () => {
    const query = new URLSearchParams("a=x%20y&a=z&b");
    const exact = (name: string, value: string) =>
      compileQuery({ name, match: { kind: "string", matcher: string("exact", value) } })(query);
    assert.deepEqual([exact("a", "x y"), exact("a", "z"), exact("b", ""), exact("c", "")], [true, false, true, false]);
    assert.equal(compileQuery({ name: "c", match: { kind: "present", present: false } })(query), true);
  });
});
