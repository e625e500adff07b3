// The inputs that fuzzing found worth keeping, and those that once broke something.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { readCommitted } from "./corpus.ts";
import { loadTarget, targetNames } from "./targets.ts";

describe("what fuzzing has found before", () => {
  // What nothing was found for need not be loaded.
  for (const name of targetNames.filter((target) => readCommitted(target).length > 0)) {
    it(`keeps the promises of ${name}`, async () => {
      const target = await loadTarget(name);
      for (const { input } of readCommitted(name)) {
        try {
          // oxlint-disable-next-line no-await-in-loop -- each failure names its input
          await target.run(input);
        } catch (error) {
          assert.fail(`${input.toString("hex")}: ${error instanceof Error ? error.stack : String(error)}`);
        }
      }
    });
  }
});
