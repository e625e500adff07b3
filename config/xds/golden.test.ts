import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { goldenNames, readGolden, runGolden } from "./testing/golden.ts";

describe("a golden resource", () => {
  for (const name of goldenNames()) {
    it(`${name.replace(".json", "").replaceAll("-", " ")} is read as its file says`, () => {
      const golden = readGolden(name);
      assert.deepEqual(runGolden(golden), golden);
    });
  }
});
