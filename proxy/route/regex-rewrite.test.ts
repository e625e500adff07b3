import assert from "node:assert/strict";
import { test } from "node:test";

import { compileRegexRewrite } from "./regex-rewrite.ts";

test("every match is replaced, with groups, and a dollar stands for itself", () => {
  for (const [pattern, substitution, path, expected] of [
    ["^/item/([0-9]+)$", "/i/\\1", "/item/42", "/i/42"],
    ["/(a)(b)?", "/\\2\\1\\0", "/a", "/a/a"],
    ["x", "$1\\\\", "/x/x", "/$1\\/$1\\"],
    ["([a-z])", "\\10", "/a", "/a0"],
    ["$", "!", "/a", "/a!"],
    ["none", "x", "/a", "/a"],
  ] as const)
    assert.equal(compileRegexRewrite({ pattern, substitution })(path), expected, pattern);
});

test("a group that is not there, and a backslash before anything else, are refused", () => {
  for (const substitution of ["\\1", "\\x", "a\\"])
    assert.throws(() => compileRegexRewrite({ pattern: "a", substitution }), /names none of 0 groups/, substitution);
});
