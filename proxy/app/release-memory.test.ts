// What is resident without need goes; what is used stays as it was.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { codeOf, releaseMemory } from "./release-memory.ts";

const SMAPS = `00400000-0082e000 r--p 00000000 fe:00 42 /nodejs/bin/node
Rss:                 100 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
0082e000-03489000 r-xp 0042e000 fe:00 42                            /nodejs/bin/node
Rss:               30000 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
04000000-04001000 r-xp 0042e000 fe:00 42                            /nodejs/bin/node
Rss:                   4 kB
Private_Dirty:         4 kB
Anonymous:             4 kB
7f58439c0000-7f5843dc0000 rwxp 00000000 00:00 0
Rss:                 400 kB
Private_Dirty:       400 kB
Anonymous:           400 kB
7f5843dc0000-7f5843fd5000 r-xp 01627000 00:00 43                    /usr/lib/libc.so.6
Rss:                2000 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
`;

test("only the program's code is given back, and none that was written to", () => {
  assert.deepEqual(codeOf("/nodejs/bin/node", SMAPS), [{ start: 0x82e000n, end: 0x3489000n }]);
});

test("a process goes on after it has given memory back", { skip: process.platform !== "linux" }, () => {
  // Code that the tests before may have given back already.
  gzipSync(createHash("sha512").update(new Intl.DateTimeFormat("de").format()).digest());
  const before = residentKb();
  releaseMemory();
  const after = residentKb();
  assert.ok(after < before, `${before} kB before, ${after} kB after`);
  assert.equal(JSON.stringify({ a: [1, 2, 3] }), '{"a":[1,2,3]}');
});

function residentKb(): number {
  return Number(/RssFile:\s+(\d+)/.exec(fs.readFileSync("/proc/self/status", "latin1"))?.[1]);
}
