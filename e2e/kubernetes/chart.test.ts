// What of the chart can be checked without helm: its versions, that its schema knows its values and refuses all others, and its kinds.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Compile, type XSchema } from "typebox/schema";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { isObject } from "#config/load/values.ts";

const root = path.join(import.meta.dirname, "../..");
const chart = path.join(root, "charts/heddle");

function read(file: string): string {
  return readFileSync(path.join(chart, file), "utf8");
}

function yaml(file: string): Readonly<Record<string, unknown>> {
  const { documents, errors } = parseYaml(read(file), file);
  assert.deepEqual(errors, []);
  const value = documents[0]?.value;
  assert.ok(isObject(value), file);
  return value;
}

const schema: unknown = JSON.parse(read("values.schema.json"));
assert.ok(isObject(schema));
// Parsed from a file, so its shape is known to no compiler.
const validator = Compile(schema as XSchema);
const defaults = yaml("values.yaml");

function check(values: unknown): boolean {
  return validator.Check(values);
}

/** A copy of the defaults with one value set; `path` as `controlPlane.replicas`. */
function withValue(dotted: string, value: unknown): unknown {
  const copy = structuredClone(defaults);
  const keys = dotted.split(".");
  const last = keys.pop() ?? "";
  let at: Record<string, unknown> = copy;
  for (const key of keys) {
    const next = at[key];
    at = isObject(next) ? next : (at[key] = {});
  }
  at[last] = value;
  return copy;
}

describe("charts/heddle", () => {
  it("has the version of package.json", () => {
    // The project's own file.
    const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as {
      readonly version: string;
    };
    const { version: chartVersion, appVersion } = yaml("Chart.yaml");
    assert.equal(chartVersion, version);
    assert.equal(appVersion, version);
  });

  it("has default values that its schema takes", () => {
    assert.equal(check(defaults), true);
  });

  it("shows in values.yaml every key that its schema knows", () => {
    const { properties } = schema;
    const walk = (known: unknown, given: unknown, at: string): void => {
      if (!isObject(known)) return;
      for (const [key, below] of Object.entries(known)) {
        const here = at === "" ? key : `${at}.${key}`;
        // Helm's own.
        if (here === "global") continue;
        assert.ok(isObject(given) && key in given, `values.yaml has no ${here}`);
        if (isObject(below) && !here.endsWith(".affinity")) walk(below["properties"], given[key], here);
      }
    };
    walk(properties, defaults, "");
  });

  for (const [where, value] of [
    ["replicas", 3],
    ["controlPlane.replica", 3],
    ["images.proxyy", "x"],
    ["controlPlane.resources.limit", {}],
    ["metrics.serviceMonitor.enable", true],
    ["controlPlane.replicas", 0],
    ["controlPlane.replicas", "two"],
    ["controlPlane.logLevel", "verbose"],
    ["controlPlane.antiAffinity", "always"],
    ["controlPlane.extraArgs", ["state=/tmp"]],
    ["controlPlane.podDisruptionBudget.maxUnavailable", 0],
    ["controlPlane.terminationGracePeriodSeconds", 5],
    ["images.pullPolicy", "Sometimes"],
    ["images.tag", "a b"],
    ["mesh.trustDomain", "Cluster_Local"],
    ["injection.failurePolicy", "fail"],
    ["injection.interception", "ebpf"],
    ["injection.nativeSidecars", "yes"],
    ["injection.timeoutSeconds", 31],
    ["proxy.concurrency", 0],
    ["proxy.drainTime", "20"],
    ["proxy.excludeOutboundPorts", [0]],
    ["proxy.excludeOutboundCidrs", ["10.0.0.0"]],
    ["proxy.resources.requests.memory", "96 MB"],
    ["cni.binDir", "opt/cni/bin"],
  ] satisfies readonly (readonly [string, unknown])[]) {
    it(`refuses ${where}: ${JSON.stringify(value)}`, () => {
      assert.equal(check(withValue(where, value)), false);
    });
  }

  for (const [where, value] of [
    ["controlPlane.replicas", 5],
    ["controlPlane.podDisruptionBudget.maxUnavailable", "25%"],
    ["controlPlane.affinity", { nodeAffinity: {} }],
    ["injection.nativeSidecars", false],
    ["images.registry", "registry.example.com:5000/mirror"],
    ["proxy.excludeOutboundCidrs", ["10.0.0.0/8", "fd00::/8"]],
    ["proxy.drainTime", "1m30s"],
    ["ca.existingSecret", "mesh-intermediate"],
    ["global", { anything: true }],
  ] satisfies readonly (readonly [string, unknown])[]) {
    it(`takes ${where}: ${JSON.stringify(value)}`, () => {
      assert.equal(check(withValue(where, value)), true);
    });
  }

  it("installs each of our kinds, and keeps them when the release goes", () => {
    const ours = readdirSync(path.join(root, "config/crds"));
    assert.deepEqual(readdirSync(path.join(chart, "files/crds")), ours);
    for (const file of ours) {
      const { metadata } = yaml(`files/crds/${file}`);
      assert.ok(isObject(metadata), file);
      assert.deepEqual(metadata["annotations"], { "helm.sh/resource-policy": "keep" }, file);
    }
  });
});
