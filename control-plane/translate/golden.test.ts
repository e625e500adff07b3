// Golden cases: testdata/*.in.yaml beside what every proxy of that mesh is given. `UPDATE_GOLDEN=1` writes the second again.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { toYaml } from "#config/load/yaml-documents.ts";
import { accessLogFields } from "./policy/telemetry.ts";
import {
  anyRequest,
  emptyScope,
  forwardDefaults,
  limitDefaults,
  managerDefaults,
  upstreamDefaults,
} from "./defaults.ts";
import { makeMesh, nodeOf } from "./testing/make-mesh.ts";

const folder = new URL("testdata/", import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith(".in.yaml"))) {
  test(`translation of ${file} is as written beside it`, () => {
    const mesh = makeMesh(readFileSync(new URL(file, folder), "utf8"));
    const proxies: Record<string, unknown> = {};
    for (const id of [...(mesh.store.current?.tables.workloads.keys() ?? [])].sort().toReversed()) {
      // The other dialects differ in what they cannot say: one proxy shows it.
      const isFirst = Object.keys(proxies).length === 0;
      for (const dialect of isFirst ? (["heddle", "envoy"] as const) : (["heddle"] as const)) {
        const resources = mesh.source.resourcesFor(nodeOf(id), dialect);
        assert.ok(resources);
        const { listeners, routes, clusters, endpoints } = resources;
        proxies[`${id} (${dialect})`] = Object.fromEntries(
          Object.entries({ listeners, routes, clusters, endpoints }).map(([type, map]) => [
            type,
            [...map.values()].map((value) => withoutDefaults(value)),
          ]),
        );
      }
    }
    const written = toYaml(proxies);
    const golden = new URL(file.replace(".in.yaml", ".out.yaml"), folder);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, written);
    assert.equal(written, readFileSync(golden, "utf8"));
  });
}

const usualFilter = { disabled: false, isOptional: true };
const usualListener = { bindToPort: true, useOriginalDst: false, inspectHttp: false, continueOnInspectTimeout: true };
const usualSizes = { perConnectionBufferLimitBytes: 1024 * 1024, overprovisioningFactor: 140 };
const upstream = [upstreamDefaults, limitDefaults, usualSizes];
const downstream = [managerDefaults, usualFilter, usualListener, accessLogFields];
const defaults = [emptyScope, forwardDefaults, anyRequest, ...upstream, ...downstream].flatMap((set) =>
  Object.entries(set),
);

/** Leaves out what is undefined, empty or a default, so that a case shows what it is about. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key, field]) => {
    const isDefault = defaults.some(([name, usual]) => name === key && isDeepStrictEqual(usual, field));
    const isEmpty = typeof field === "object" && field !== null && Object.keys(field).length === 0;
    return field !== undefined && !isDefault && !isEmpty;
  });
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutDefaults(field)]));
}
