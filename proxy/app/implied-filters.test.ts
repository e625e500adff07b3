import assert from "node:assert/strict";
import { test } from "node:test";

import type { FilterConfig } from "#config/model/filter-config.ts";
import type { HttpConnectionManager } from "#config/model/listener.ts";

import { withImpliedFilters } from "./implied-filters.ts";

const RETRY: FilterConfig = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: {},
  disabled: false,
  isOptional: false,
};

function namesOf(http: Partial<HttpConnectionManager>): readonly string[] {
  return withImpliedFilters({ filters: [], tracing: undefined, ...http } as HttpConnectionManager).map(
    ({ name }) => name,
  ); // as: what is read
}

test("a chain of Envoy's own filters retries by the routes' policies", () => {
  assert.deepEqual(namesOf({}), ["heddle.retry"]);
});

test("tracing comes first, with the listener's share", () => {
  const tracing = { randomSampling: 5, exporter: undefined };
  assert.deepEqual(namesOf({ tracing, filters: [RETRY] }), ["heddle.tracing", "heddle.retry"]);
});

test("a filter that the chain names keeps its own settings", () => {
  assert.deepEqual(withImpliedFilters({ filters: [RETRY], tracing: undefined } as unknown as HttpConnectionManager), [
    RETRY,
  ]); // as: what is read
});
