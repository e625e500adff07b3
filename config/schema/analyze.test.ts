import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { configErrorCodes, type ConfigError } from "#config/load/config-error.ts";
import { loadText } from "#config/load/load.ts";
import { analyze, validateAll, type Analysis } from "./analyze.ts";
import { apiVersionOf } from "./kind.ts";
import { kinds, type Resource } from "./kinds.ts";
import { parseResource, ResourceParser } from "./parse-resource.ts";

const examples = join(import.meta.dirname, "../load/testing/example");
const goldenFolder = join(import.meta.dirname, "testing/errors");
/** HEDDLE_REWRITE_GOLDEN=1 writes what is found as what is expected. */
const isRewrite = process.env["HEDDLE_REWRITE_GOLDEN"] === "1";

function problemsOf({ errors, warnings }: Analysis): string[] {
  return [...errors, ...warnings].map((problem) => problem.format());
}

function analyzeText(text: string): Analysis {
  const { documents, errors } = loadText(text, "a.yaml");
  return validateAll(documents, errors);
}

function find<Kind extends Resource["kind"]>(
  resources: readonly Resource[],
  kind: Kind,
  name: string,
): Extract<Resource, { kind: Kind }> {
  const found = resources.find((resource) => resource.kind === kind && resource.metadata.name === name);
  assert.ok(found !== undefined);
  return found as Extract<Resource, { kind: Kind }>; // compared just above
}

test("the example uses every kind and has no problem", async () => {
  const analysis = await analyze(examples);
  assert.deepEqual(problemsOf(analysis), []);
  assert.deepEqual(
    [...new Set(analysis.resources.map(({ kind }) => kind))].toSorted(),
    kinds.map(({ kind }) => kind).toSorted(),
  );
});

test("defaults are filled in, at every depth", async () => {
  const { resources } = await analyze(examples);
  const policy = find(resources, "TrafficPolicy", "reviews").spec;
  assert.deepEqual(policy.retries, {
    attempts: 3,
    retryOn: ["5xx", "unavailable"],
    retryOnNonIdempotent: [],
    retriableStatusCodes: [],
    retriableHeaders: [],
    retryAfter: { maxInterval: "10s" },
    backoff: { baseInterval: "10ms", maxInterval: "250ms" },
    budget: { percent: 20, minConcurrency: 3 },
  });
  assert.deepEqual(policy.circuitBreaker, {
    volumeThreshold: 10,
    errorPercent: 50,
    window: "10s",
    sleepWindow: "5s",
    errorStatuses: [500, 502, 503, 504],
  });
  assert.deepEqual(policy.targetRefs, [{ group: "", kind: "Service", name: "reviews", sectionName: "http" }]);
  const route = find(resources, "HTTPRoute", "reviews").spec;
  assert.deepEqual(route.rules[1]?.matches, [{ path: { type: "PathPrefix", value: "/" } }]);
  assert.equal(route.rules[0]?.backendRefs?.[0]?.weight, 1);
  const mesh = find(resources, "MeshConfig", "default");
  assert.equal(mesh.metadata.namespace, "");
  assert.deepEqual(mesh.spec.certificates, { lifetime: "24h", renewAtPercent: 50 });
  assert.equal(mesh.spec.tenants?.sources[0]?.header?.onUntrusted, "refuse");
});

test("an empty MeshConfig has every default", () => {
  const { resources, errors } = analyzeText(
    "apiVersion: heddle.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\n",
  );
  assert.deepEqual(errors, []);
  assert.deepEqual(find(resources, "MeshConfig", "default").spec, {
    trustDomain: "cluster.local",
    outboundMtls: "auto",
    outboundPolicy: "allow",
    mtls: { mode: "PERMISSIVE" },
    certificates: { lifetime: "24h", renewAtPercent: 50 },
    drain: { timeout: "45s" },
  });
});

test("an object as kubectl prints it is taken", () => {
  const text = `apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: {name: a, namespace: b, uid: x, resourceVersion: "5", generation: 3, creationTimestamp: "2026-01-01T00:00:00Z", managedFields: [{manager: kubectl}]}
spec: {service: a, labels: {version: v1}}
status: {conditions: []}
`;
  const { resources, errors } = analyzeText(text);
  assert.deepEqual(errors, []);
  assert.equal(resources[0]?.metadata.generation, 3);
});

function entry(name: string, port: number, sidecar: string): string {
  return `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: {name: ${name}, namespace: shop}
spec:
  ports: [{name: http, port: ${port}}]
  endpoints: [{name: both-1, address: 127.0.0.1, serviceAccount: both, sidecar: ${sidecar}}]
`;
}

test("one workload in several ServiceEntries may say the same of its sidecar twice", () => {
  const one = entry(
    "one",
    7001,
    "{inbound: {http: 7011}, outbound: [{service: two, port: http, listen: 7020}], adminPort: 7030}",
  );
  const two = entry(
    "two",
    7002,
    "{inbound: {http: 7012}, outbound: [{service: two, port: http, listen: 7020}, {service: one, port: 7001, listen: 7021}]}",
  );
  const analysis = analyzeText(`${one}---\n${two}`);
  assert.deepEqual(problemsOf(analysis), []);
});

const nowhere = () => ({ line: 1, column: 1 });

const seenCodes = new Set<string>();

// Called .in, so that no formatter touches the mistakes.
for (const input of readdirSync(goldenFolder).filter((file) => file.endsWith(".yaml.in"))) {
  const name = input.replace(".in", "");
  test(`mistakes in ${name} are told as expected`, () => {
    const { documents, errors } = loadText(readFileSync(join(goldenFolder, input), "utf8"), name);
    const analysis = validateAll(documents, errors);
    for (const { code } of [...analysis.errors, ...analysis.warnings]) seenCodes.add(code);
    const text = `${problemsOf(analysis).join("\n")}\n`;
    const expected = join(goldenFolder, name.replace(".yaml", ".txt"));
    if (isRewrite) writeFileSync(expected, text);
    assert.equal(text, readFileSync(expected, "utf8"));
  });
}

test("every error code is shown by a golden case, but those of files and sizes", () => {
  const elsewhere = ["HDL_CONFIG_UNREADABLE", "HDL_CONFIG_TOO_LARGE"];
  assert.deepEqual(
    Object.keys(configErrorCodes).filter((code) => !seenCodes.has(code)),
    elsewhere,
  );
});

test("the sentence of the style guide is what a user gets", () => {
  const text = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: cart}]
  rules:
  - backendRefs: []
  - backendRefs: []
  - timeouts: {request: 5 sec}
`;
  const [error] = analyzeText(text).errors;
  const found: Partial<ConfigError> = error ?? {};
  assert.equal(
    found.message,
    'Cannot parse HTTPRoute "shop/cart": spec.rules[2].timeouts.request must be a duration: got "5 sec"',
  );
  assert.deepEqual(
    [found.file, found.line, found.column, found.path],
    ["a.yaml", 9, 25, "spec.rules[2].timeouts.request"],
  );
});

test("no spec of any kind crashes the parser, and what is refused says why", () => {
  const parser = new ResourceParser();
  const fields = kinds.flatMap(({ spec }) => Object.keys(spec.properties ?? {}));
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie("value"), { maxLength: 3 }),
      tie("object"),
    ),
    object: fc.dictionary(
      fc.oneof(fc.constantFrom(...fields, "name", "type", "__proto__"), fc.string()),
      tie("value"),
      { maxKeys: 4 },
    ),
  }));
  fc.assert(
    fc.property(fc.constantFrom(...kinds), value.object, (kind, spec) => {
      const source = { file: "a.yaml", line: 1, column: 1, locate: nowhere };
      const { resource, problems } = parser.parse({
        apiVersion: apiVersionOf(kind),
        kind: kind.kind,
        metadata: { name: "a" },
        spec,
        rest: {},
        source,
      });
      assert.equal(resource === undefined, problems.length > 0);
    }),
    { numRuns: 300 },
  );
});

test("a resource that was parsed can be parsed again, and is the same", async () => {
  const { resources } = await analyze(examples);
  for (const { kind, apiVersion, metadata, spec, source } of resources) {
    const { namespace, ...rest } = metadata;
    const again = parseResource({
      kind,
      apiVersion,
      metadata: namespace === "" ? rest : { ...metadata },
      spec,
      rest: {},
      source,
    });
    assert.deepEqual(again.problems, []);
    assert.deepEqual(again.resource?.spec, spec);
  }
});
