import assert from "node:assert/strict";
import { test } from "node:test";
import { isAsShown } from "./shown.ts";

test("what is printed must be what is shown, but for dots and blanks", () => {
  assert.ok(isAsShown("HTTP/1.1 200 OK\r\ndate: x\r\nretry-after: 1\r\n\r\n", "HTTP/1.1 200 OK\n...\nretry-after: ...\n"));
  assert.ok(isAsShown("a\n", "...\na\n...\n"));
  assert.ok(!isAsShown("a\nb\n", "a\n"));
  assert.ok(!isAsShown("", "a\n"));
  assert.ok(!isAsShown("a\nb\nc\n", "...\nb\n"));
  assert.ok(!isAsShown("axb\n", "a.b\n"));
});

test("a share by chance may be off by four sigma and no more", () => {
  const shown = "  ~90 v1\n ~10 v2\n";
  for (const [v1, v2, isGood] of [[90, 10, true], [80, 20, true], [98, 2, true], [75, 25, false], [97, 0, true],
    [60, 40, false]] as const)
    assert.equal(isAsShown(`     ${v1} v1\n     ${v2} v2\n`, shown), isGood, `${v1} ${v2}`);
  assert.ok(!isAsShown("90 v1\n10 v2\n", "~90 v1\n10 v3\n"));
});

test("a range holds its ends, and fractions", () => {
  assert.ok(isAsShown("took 0.512345 s\n", "took {0.5..2} s\n"));
  assert.ok(!isAsShown("took 0.49 s\n", "took {0.5..2} s\n"));
  assert.ok(isAsShown("200 4\n", "200 {4..6}\n"));
  assert.ok(!isAsShown("200 7\n", "200 {4..6}\n"));
});
