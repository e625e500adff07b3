// What a test opened is closed in reverse order: clients before the proxy, the proxy before the applications.
import type { TestContext } from "node:test";

/** Has `close` called when the test, or the file, is over. */
export type OnEnd = (close: () => unknown) => void;

const stacks = new WeakMap<TestContext, (() => unknown)[]>();

/** Runs `close` when the test is over, after everything that was registered later. */
export function atEnd(t: TestContext, close: () => unknown): void {
  const known = stacks.get(t);
  if (known !== undefined) {
    known.push(close);
    return;
  }
  const stack = [close];
  stacks.set(t, stack);
  t.after(async () => {
    for (let one = stack.pop(); one !== undefined; one = stack.pop()) await one();
  });
}
