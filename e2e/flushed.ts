// Loaded before each test file: a file is ended as soon as its last test is done, since what tests leave open would keep it, and
// results that were not yet written would be lost with it. A turn or two is enough to write them.
import { after } from "node:test";
import { setImmediate } from "node:timers/promises";

const TURNS = 100;

after(async () => {
  for (let turn = 0; turn < TURNS; turn++) await setImmediate();
});
