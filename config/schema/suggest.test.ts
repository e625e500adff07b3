import assert from "node:assert/strict";
import { test } from "node:test";
import { suggest } from "./suggest.ts";

const fields = ["maxConnections", "maxPendingRequests", "maxRequests", "maxRetries"];

test("a misspelt word is answered with the nearest one", () => {
  const cases: [string, string][] = [
    ["maxRetires", "maxRetries"],
    ["maxretries", "maxRetries"],
    ["maxRequest", "maxRequests"],
    ["maxConections", "maxConnections"],
  ];
  for (const [word, meant] of cases) assert.equal(suggest(word, fields), meant, word);
});

test("words that differ only in case are always near", () => {
  assert.equal(suggest("permissive", ["STRICT", "PERMISSIVE"]), "PERMISSIVE");
});

test("a part of one word alone means that word", () => {
  assert.equal(suggest("Prefix", ["Exact", "PathPrefix"]), "PathPrefix");
  assert.equal(suggest("Prefix", ["OtherPrefix", "PathPrefix"]), undefined);
});

test("nothing is proposed where nothing is near", () => {
  assert.equal(suggest("timeout", fields), undefined);
  assert.equal(suggest("", fields), undefined);
  assert.equal(suggest("ab", ["xy"]), undefined);
});
