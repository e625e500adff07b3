import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText } from "#config/load/load.ts";
import { validateAll } from "#config/schema/analyze.ts";
import type { ConfigReport, ConfigSource } from "./config-source.ts";
import { ConfigSources } from "./config-sources.ts";

function sourceOf(name: string, text: string): ConfigSource {
  const { resources, errors, warnings } = validateAll(loadText(text, name).documents);
  const report: ConfigReport = { resources, files: [], errors, warnings, refusedEdits: 1 };
  return {
    name,
    guardsVanishing: false,
    report,
    isLoaded: true,
    subscribe: () => () => undefined,
    watch: () => ({ close: async () => undefined }),
  };
}

const policy = (name: string): string => `---
apiVersion: heddle.dev/v1alpha1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: shop }
spec: { mode: STRICT }
`;

test("of two sources the first one's object holds, and the other's is an error", () => {
  const sources = new ConfigSources([sourceOf("a", policy("one")), sourceOf("b", policy("one") + policy("two"))]);
  const { resources, errors, refusedEdits } = sources.report;
  assert.deepEqual(
    resources.map(({ metadata, source }) => `${source.file} ${metadata.name}`),
    ["a one", "b two"],
  );
  assert.match(errors[0]?.format() ?? "", /^b:.*PeerAuthentication "shop\/one": it is defined already at a:2:1/);
  assert.equal(refusedEdits, 2);
  assert.equal(sources.report, sources.report);
});
