import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { BadEscapeError, PathMatcher, unescapePath } from "./path-matcher.ts";
import { parsePathTemplate, PathTemplateError, type PathTemplate } from "./path-template.ts";

const literal = fc.constantFrom("a", "b", "shelves", "books", "v1", "a.b-c_~");
const name = fc.constantFrom("name", "book.name", "a_1", "x.y.z");
const verb = fc.constantFrom("", "", "publish", "undo");

/** A template as its parts: the text of each segment, some of them in variables. */
const template = fc
  .record({
    pieces: fc.array(
      fc.oneof(
        literal,
        fc.constant("*"),
        name.map((field) => `{${field}}`),
        fc
          .tuple(name, fc.array(fc.oneof(literal, fc.constant("*")), { minLength: 1, maxLength: 3 }))
          .map(([field, inside]) => `{${field}=${inside.join("/")}}`),
      ),
      { maxLength: 4 },
    ),
    deep: fc.constantFrom("", "", "/**", "/{rest=**}", "/{rest=tail/**}"),
    tail: fc.array(literal, { maxLength: 2 }),
    verb,
  })
  .map(({ pieces, deep, tail, verb: last }) => {
    const text = `/${pieces.join("/")}${pieces.length === 0 ? deep.slice(1) : deep}`;
    const whole = deep === "" || tail.length === 0 ? text : `${text}/${tail.join("/")}`;
    return whole === "/" || last === "" ? whole : `${whole}:${last}`;
  });

function format({ segments, variables, verb: last }: PathTemplate): string {
  const parts: string[] = [];
  for (let i = 0; i < segments.length; i++) {
    const variable = variables.find(({ from }) => from === i);
    if (variable === undefined) parts.push(segments[i] ?? "");
    else {
      parts.push(`{${variable.fieldPath.join(".")}=${segments.slice(variable.from, variable.to).join("/")}}`);
      i = variable.to - 1;
    }
  }
  return `/${parts.join("/")}${last === "" ? "" : `:${last}`}`;
}

/** The same rule as a regular expression: slow, and plainly right. */
function expression({ segments, verb: last }: PathTemplate): RegExp {
  const source = segments.map((segment) =>
    segment === "**" ? "(?:/[^/]*)*" : segment === "*" ? "/[^/]+" : `/${segment.replaceAll(/[.~-]/g, String.raw`\$&`)}`,
  );
  return new RegExp(`^${source.join("") || "/"}${last === "" ? "" : `:${last}`}$`);
}

describe("a path template", () => {
  it("is read into what it was written from", () => {
    fc.assert(
      fc.property(template, (text) => {
        const parsed = parsePathTemplate(text);
        assert.deepEqual(parsePathTemplate(format(parsed)), parsed);
        assert.equal(format(parsed), text.replaceAll(/\{([\w.]+)\}/g, "{$1=*}"));
      }),
    );
  });

  it("that is none is refused with the place", () => {
    for (const text of [
      "",
      "a",
      "/a/",
      "/{",
      "/{a",
      "/{a=}",
      "/{1}",
      "/{a={b}}",
      "/**/*",
      "/**/**",
      "/a:",
      "/a*",
      "//",
    ])
      assert.throws(() => parsePathTemplate(text), PathTemplateError, text);
    assert.throws(() => parsePathTemplate("/a/{b"), { message: /"\/a\/\{b": character 6 must be "\}"/ });
  });

  it("never does anything else to any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("/", "{", "}", "=", "*", ":", ".", "a", "b") }), (text) => {
        try {
          parsePathTemplate(text);
        } catch (error) {
          assert.ok(error instanceof PathTemplateError);
        }
      }),
    );
  });
});

describe("the matcher", () => {
  it("finds a rule where there is one, and no other than regular expressions find", () => {
    const part = fc.oneof(literal, fc.constantFrom("zz", "tail", "publish", "a:publish", "x:undo", "b:c"));
    const path = fc.array(part, { maxLength: 6 }).map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(fc.array(template, { minLength: 1, maxLength: 8 }), path, (texts, asked) => {
        const matcher = new PathMatcher<PathTemplate>("ALL_CHARACTERS", false);
        const rules = texts.map(parsePathTemplate).filter((rule) => matcher.add("GET", rule, rule));
        const verbs = new Set(rules.map((rule) => rule.verb).filter((one) => one !== ""));
        const last = /:([^:/]*)$/.exec(asked)?.[1] ?? "";
        const fitting = rules.filter(
          (rule) => expression(rule).test(asked) && (verbs.has(last) ? rule.verb === last : rule.verb === ""),
        );
        const match = matcher.match("GET", asked);
        assert.equal(match !== undefined, fitting.length > 0, `${asked} with ${texts.join(" ")}`);
        if (match !== undefined) assert.ok(fitting.includes(match.value), `${asked} with ${texts.join(" ")}`);
        assert.equal(matcher.match("POST", asked), undefined);
      }),
      { numRuns: 500 },
    );
  });

  const rules = (...texts: readonly string[]): PathMatcher<string> => {
    const matcher = new PathMatcher<string>("ALL_CHARACTERS_EXCEPT_RESERVED", false);
    for (const text of texts) matcher.add("GET", parsePathTemplate(text), text);
    return matcher;
  };

  it("prefers a literal to one segment, and one segment to many", () => {
    const matcher = rules("/v1/{a=**}", "/v1/{a}/x", "/v1/me/x", "/v1/{a}/{b}", "/v1/{a=**}/end");
    const found = (path: string): string | undefined => matcher.match("GET", path)?.value;
    assert.equal(found("/v1/me/x"), "/v1/me/x");
    assert.equal(found("/v1/you/x"), "/v1/{a}/x");
    assert.equal(found("/v1/me/y"), "/v1/{a}/{b}");
    assert.equal(found("/v1/me/y/z"), "/v1/{a=**}");
    assert.equal(found("/v1/me/y/end"), "/v1/{a=**}/end");
    assert.equal(found("/v1"), "/v1/{a=**}");
    assert.equal(found("/v2"), undefined);
  });

  it("gives variables their segments, unescaped as far as is asked", () => {
    const matcher = rules("/v1/{name=shelves/*}/books/{book}", "/files/{path=**}/raw", "/{a}:go");
    assert.deepEqual(matcher.match("GET", "/v1/shelves/a%2Fb%20c/books/x%2Fy%C3%A9")?.values, [
      "shelves/a%2Fb c",
      "x/yé",
    ]);
    assert.deepEqual(matcher.match("GET", "/files/a/b/c/raw")?.values, ["a/b/c"]);
    assert.deepEqual(matcher.match("GET", "/files/raw")?.values, [""]);
    assert.deepEqual(matcher.match("GET", "/x:go")?.values, ["x"]);
    assert.throws(() => matcher.match("GET", "/%ff:go"), BadEscapeError);
  });

  it("has one rule for a method and a template, and `*` for all methods", () => {
    const matcher = new PathMatcher<number>("ALL_CHARACTERS", false);
    assert.equal(matcher.add("GET", parsePathTemplate("/a/{x}"), 1), true);
    assert.equal(matcher.add("GET", parsePathTemplate("/a/{y}"), 2), false);
    assert.equal(matcher.add("*", parsePathTemplate("/a/{y}"), 3), true);
    assert.deepEqual([matcher.match("GET", "/a/b")?.value, matcher.match("HEAD", "/a/b")?.value], [1, 3]);
  });
});

it("escapes are undone but for what is kept", () => {
  const text = "a%2Fb%3a%20%zz%C3%A9";
  assert.equal(unescapePath(text, "ALL_CHARACTERS"), "a/b: %zzé");
  assert.equal(unescapePath(text, "ALL_CHARACTERS_EXCEPT_SLASH"), "a%2Fb: %zzé");
  assert.equal(unescapePath(text, "ALL_CHARACTERS_EXCEPT_RESERVED"), "a%2Fb%3a %zzé");
});
