// Every case can be read, stands in an area that runs, and names reasons that the documentation has.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { listAreas, parseCases, readArea } from "./case-files.ts";

const FOLDER = import.meta.dirname;

for (const area of listAreas()) {
  test(`the differential cases of ${area} are as the schema says, and their differences are documented`, () => {
    const page = fs.readFileSync(path.join(FOLDER, "../../docs/differences-from-envoy.md"), "utf8");
    for (const { place, differs = [] } of readArea(area)) {
      for (const { reason } of differs)
        assert.ok(page.includes(`\n| ${reason} |`), `${place}: docs/differences-from-envoy.md has no row "${reason}"`);
    }
    const file = path.join(FOLDER, `${area}.e2e.ts`);
    assert.ok(fs.existsSync(file), `cases/${area} needs a file ${area}.e2e.ts: runArea("${area}")`);
    assert.ok(fs.readFileSync(file, "utf8").includes(`runArea("${area}")`), `${file} must run its own area`);
  });
}

test("what is wrong with a case is said with its line", () => {
  const { cases, problems } = parseCases(
    `name: wrong
input: {}
requests:
  - { pth: /, count: many }
---
input: { xds: { routes: [] } }
`,
    "cases/a/b.yaml",
  );
  assert.deepEqual(problems, [
    "cases/a/b.yaml:4:7: requests[0].pth is not a known field (did you mean `path`?)",
    'cases/a/b.yaml:4:22: requests[0].count must be a whole number: got "many"',
    "cases/a/b.yaml:6:1: name is required, but missing (What is shown, as a sentence; unique in its area)",
    "cases/a/b.yaml:6:1: requests is required, but missing (Played at both proxies)",
  ]);
  assert.equal(cases.length, 0);
});
