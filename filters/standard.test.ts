// What holds for every filter of the mesh.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "#config/model/filter-config.ts";

import { findFilter, findFilterByName, standardFilters } from "./standard.ts";
import { FilterBench } from "./testing/harness.ts";

test("every filter is found by its name and by each of its types, and by no other's", () => {
  for (const factory of standardFilters) {
    assert.equal(findFilterByName(factory.name), factory);
    for (const typeUrl of factory.typeUrls) assert.equal(findFilter(typeUrl), factory);
  }
  assert.equal(findFilter("type.googleapis.com/none"), undefined);
  assert.equal(
    new Set(standardFilters.flatMap(({ typeUrls }) => typeUrls)).size,
    standardFilters.flatMap(({ typeUrls }) => typeUrls).length,
  );
});

/** What filters cannot be without. */
const LEAST: Readonly<Record<string, { readonly [name: string]: JsonValue }>> = {
  "envoy.filters.http.adaptive_concurrency": {
    gradientControllerConfig: {
      concurrencyLimitParams: { concurrencyUpdateInterval: "0.1s" },
      minRttCalcParams: { interval: "60s" },
    },
  },
  "envoy.filters.http.admission_control": { successCriteria: {} },
};

test("every filter bears its name in the chain, and refuses a field that it does not know", () => {
  const bench = new FilterBench();
  for (const factory of standardFilters) {
    const typeUrl = factory.typeUrls.at(-1) ?? "";
    const least = LEAST[factory.name] ?? {};
    const config = factory.parse(least, typeUrl);
    assert.equal(factory.make(config as never, bench.context({}, "other")).name, "other"); // as: parsed by the same factory
    assert.throws(() => factory.parse({ ...least, noSuchField: 1 }, typeUrl), /noSuchField/, factory.name);
  }
});
