// The official conformance suite of Gateway API v1.6.3, unmodified, in its two mesh profiles: with every feature of theirs. The
// report that it writes must say what docs/conformance says; UPDATE_CONFORMANCE=1 keeps the new one.
// Time limit: 900 s.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";

import { Cluster } from "./cluster/cluster.ts";
import { getEchoImage } from "./cluster/images.ts";
import { getPart } from "./cluster/parts.ts";
import { installMesh } from "./mesh.ts";
import { deleteNamespace } from "./pods.ts";

const ROOT = path.join(import.meta.dirname, "..", "..");
const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as {
  readonly version: string;
}; // as: our own
const KEPT = path.join(ROOT, "docs", "conformance", "mesh-v1.6.3-report.yaml");

/** All that the mesh's tests ask for: core, extended, and those of HTTPRoute that they use. */
const FEATURES = [
  "Mesh",
  "HTTPRoute",
  "GRPCRoute",
  "MeshClusterIPMatching",
  "MeshConsumerRoute",
  "MeshHTTPRouteBackendRequestHeaderModification",
  "MeshHTTPRouteNamedRouteRule",
  "MeshHTTPRouteQueryParamMatching",
  "MeshHTTPRouteRedirectPath",
  "MeshHTTPRouteRedirectPort",
  "MeshHTTPRouteRewritePath",
  "MeshHTTPRouteSchemeRedirect",
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteParentRefPort",
  "HTTPRouteResponseHeaderModification",
];

/** By name, as `go test` tells it; `HTTPRouteWeight` and the like need a Gateway and are skipped. */
const TESTS = [
  "MeshBasic",
  "MeshConsumerRoute",
  "MeshFrontend",
  "MeshFrontendHostname",
  "MeshGRPCRouteWeight",
  "MeshHTTPRoute303Redirect",
  "MeshHTTPRoute307Redirect",
  "MeshHTTPRoute308Redirect",
  "MeshHTTPRouteBackendRequestHeaderModifier",
  "MeshHTTPRouteMatching",
  "MeshHTTPRouteNamedRule",
  "MeshHTTPRouteQueryParamMatching",
  "MeshHTTPRouteRedirectHostAndStatus",
  "MeshHTTPRouteRedirectPath",
  "MeshHTTPRouteRedirectPort",
  "MeshHTTPRouteRequestHeaderModifier",
  "MeshHTTPRouteRewritePath",
  "MeshHTTPRouteSchemeRedirect",
  "MeshHTTPRouteSimpleSameNamespace",
  "MeshHTTPRouteWeight",
  "MeshPorts",
  "MeshTrafficSplit",
];

/** What is looked at of the suite's own format. */
interface Report {
  readonly date: unknown;
  readonly profiles: readonly { readonly name: string }[];
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-conformance-"));
const report = path.join(folder, "report.yaml");
const told = path.join(folder, "told.txt");
let output = "";

before(async () => {
  const cluster = Cluster.join();
  await cluster.importImage(await getEchoImage());
  await installMesh(cluster);
  // The suite does not wait until the namespace that it ends with is gone, and can make nothing in one that ends.
  await deleteNamespace(cluster, "gateway-conformance-mesh");
  const suite = await getPart("gateway-conformance");
  const settings = {
    "test.run": "^TestConformance$",
    "test.v": "true",
    "test.timeout": "12m",
    "conformance-profiles": "MESH-HTTP,MESH-GRPC",
    "supported-features": FEATURES.join(","),
    "namespace-labels": "heddle.dev/inject=enabled",
    "report-output": report,
    organization: "heddle",
    project: "heddle",
    url: "https://heddle.dev",
    version: `v${version}`,
    contact: "https://heddle.dev",
  };
  const flags = Object.entries(settings).map(([name, value]) => `-${name}=${value}`);
  // What it says is wanted when it fails, too.
  const script = 'out=$1; shift; "$@" >"$out" 2>&1 || true';
  await cluster.exec(["sh", "-c", script, "suite", told, suite, ...flags], { timeoutMs: 800_000 });
  output = fs.readFileSync(told, "utf8");
});

after(() => fs.rmSync(folder, { recursive: true, force: true }));

for (const name of TESTS) {
  test(`${name} of the conformance suite passes`, () => {
    assert.match(output, new RegExp(`^ +--- PASS: TestConformance/${name} `, "m"), storyOf(name));
  });
}

test("the suite has no other test of a mesh", () => {
  const ran = [...output.matchAll(/^ +--- (?:PASS|FAIL): TestConformance\/(\w+) /gm)].map(([, name]) => name ?? "");
  assert.deepEqual(ran.toSorted(), TESTS);
});

test("the report says what docs/conformance says: both profiles, no test failed, no feature left out", () => {
  const text = fs.readFileSync(report, "utf8");
  if (process.env["UPDATE_CONFORMANCE"] === "1") fs.writeFileSync(KEPT, text);
  assert.deepEqual(withoutDate(text), withoutDate(fs.readFileSync(KEPT, "utf8")));
  assert.doesNotMatch(text, /failedTests|skippedTests|unsupportedFeatures/);
});

/** Profiles come in the order of a map of Go's, another one in every run. */
function withoutDate(text: string): unknown {
  const { date, profiles, ...rest } = parse(text) as Report; // as: the suite's own format
  assert.ok(date !== undefined);
  return { ...rest, profiles: profiles.toSorted((one, other) => one.name.localeCompare(other.name)) };
}

/** What the suite printed while a test ran, one after the other as they do; of one that never began, how it ended. */
function storyOf(name: string): string {
  const begin = output.indexOf(`=== RUN   TestConformance/${name}\n`);
  if (begin < 0) return output.slice(-6000);
  const rest = output.slice(begin + 1);
  const end = rest.search(/^=== RUN +TestConformance\/\w+$/m);
  return rest.slice(0, end < 0 ? undefined : end).slice(-6000);
}
