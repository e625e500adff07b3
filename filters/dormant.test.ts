import assert from "node:assert/strict";
import { test } from "node:test";
import { dormant } from "./dormant.ts";
import { ANSWERED, CONTINUE, type Exchange, type Filter } from "./filter.ts";

const hooks = [
  "onRequestHead",
  "onRouted",
  "onPick",
  "onAttemptStart",
  "onAttemptEnd",
  "onResponseHead",
  "onRequestData",
  "onResponseData",
  "onRequestTrailers",
  "onResponseTrailers",
  "onDone",
] as const;

/** Answers at every hook, and notes that it was called. */
function noisy(called: string[]): Filter {
  const made = hooks.map((hook) => [hook, () => (called.push(hook), ANSWERED)]);
  return { name: "x", ...Object.fromEntries(made) };
}

function callAll(filter: Filter, exchange: Pick<Exchange, "override">): unknown[] {
  return hooks.map((hook) => (filter[hook] as ((exchange: unknown) => unknown) | undefined)?.(exchange)); // as: one shape for all
}

test("a dormant filter does nothing where the route has no settings for it", () => {
  const called: string[] = [];
  const results = callAll(dormant(noisy(called)), { override: () => undefined });
  assert.deepEqual(called, []);
  assert.ok(results.every((result) => result === CONTINUE || result === undefined));
});

test("a dormant filter does all that it does where the route has settings for it", () => {
  const called: string[] = [];
  const override = { isDisabled: false, config: {} };
  callAll(dormant(noisy(called)), { override: (name) => (name === "x" ? override : undefined) });
  assert.deepEqual(called, hooks);
});

test("a dormant filter has no other hooks than it has awake", () => {
  assert.deepEqual(Object.keys(dormant({ name: "x", onRouted: () => CONTINUE })).sort(), ["name", "onRouted"]);
});
