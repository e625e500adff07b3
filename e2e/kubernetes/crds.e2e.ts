// What `heddle analyze` says offline is what a real API server says: it takes every example, and refuses the same objects for the
// same reasons at the same places, with the same sentences where a rule says them.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAllDocuments } from "yaml";

import { loadText } from "#config/load/load.ts";
import { validateAll } from "#config/schema/analyze.ts";
import { kinds } from "#config/schema/kinds.ts";
import { ApiServer } from "./cluster/api-server.ts";
import { getGatewayApiFolder } from "./cluster/parts.ts";
import { invalidCases, type Json } from "./crds/cases.ts";
import { compare } from "./crds/compare.ts";
import { Asker, byText, reasonsOf, type Reason } from "./crds/server.ts";

const ROOT = path.join(import.meta.dirname, "..", "..");

/** All objects of our kinds in a text. */
function objectsOf(text: string): readonly Json[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Json | null) // as: YAML of the project
    .filter(
      (object) =>
        object !== null &&
        kinds.some(
          ({ kind, group }) => kind === object["kind"] && String(object["apiVersion"]).startsWith(`${group}/`),
        ),
    )
    .filter((object) => object !== null);
}

function filesBelow(folder: string, end: RegExp): readonly string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => end.test(file) && !file.includes("node_modules"))
    .map((file) => path.join(folder, file))
    .toSorted();
}

interface Example {
  readonly where: string;
  readonly object: Json;
}

function examples(): readonly Example[] {
  const pages = ["README.md", ...filesBelow("docs", /\.md$/)].flatMap((file) =>
    [...readFileSync(path.join(ROOT, file), "utf8").matchAll(/^```yaml\n(apiVersion:.*?)^```/gms)].map(
      ([, text = ""]) => [file, text] as const,
    ),
  );
  const files = [
    ...filesBelow("docs", /\.ya?ml$/),
    ...filesBelow("examples", /\.ya?ml$/),
    ...filesBelow("config/load/testing/example", /\.ya?ml$/),
  ].map((file) => [file, readFileSync(path.join(ROOT, file), "utf8")] as const);
  return [...pages, ...files].flatMap(([where, text]) => objectsOf(text).map((object) => ({ where, object })));
}

const nameOf = (object: Json): string => `${String(object["kind"])} ${(object["metadata"] as { name: string }).name}`; // as: cases are objects

const CODES: Readonly<Record<string, Reason["reason"]>> = {
  HDL_CONFIG_UNKNOWN_FIELD: "unknown",
  HDL_CONFIG_MISSING_FIELD: "missing",
  HDL_CONFIG_WRONG_TYPE: "type",
  HDL_CONFIG_OUT_OF_RANGE: "range",
  HDL_CONFIG_INVALID_VALUE: "value",
  HDL_CONFIG_DUPLICATE_ITEM: "duplicate",
  HDL_CONFIG_RULE: "rule",
};

/** What `heddle analyze` says. */
function offline(object: Json): readonly Reason[] {
  const { documents, errors } = loadText(JSON.stringify(object), "a.yaml");
  const analysis = validateAll(documents, errors);
  return analysis.errors
    .map(({ code, path: at, message }) => {
      const reason = CODES[code] ?? "rule";
      if (reason !== "rule") return { path: at, reason };
      return { path: at, reason, message: message.replace(/^.*? is not valid: /, "") };
    })
    .toSorted(byText);
}

let api: ApiServer;
let asker: Asker;

before(async () => {
  const gateway = await getGatewayApiFolder();
  api = await ApiServer.start();
  await api.kubectl(["apply", "--server-side", "-k", gateway]);
  await api.kubectl(["apply", "--server-side", "-f", path.join(ROOT, "config/crds")]);
  await api.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
  const namespaces = new Set(
    [...examples(), ...golden()].map(
      ({ object }) => (object["metadata"] as { namespace?: string }).namespace ?? "default",
    ),
  ); // as: cases are objects
  namespaces.delete("default");
  const items = [...namespaces].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
  await api.kubectl(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  asker = new Asker(api.kubeconfig);
});

after(async () => {
  asker?.close();
  await api?.stop();
});

function golden(): readonly Example[] {
  return filesBelow("config/schema/testing/errors", /(fields|rules|protocols)\.yaml\.in$/).flatMap((where) =>
    objectsOf(readFileSync(path.join(ROOT, where), "utf8")).map((object) => ({ where, object })),
  );
}

describe("every example is taken by the API server:", () => {
  for (const { where, object } of examples())
    it(`${where}: ${nameOf(object)}`, async () => {
      const refusal = await asker.refusal(object);
      assert.equal(refusal?.message, undefined);
    });
});

/** One object of each shape is enough: kinds, and blocks of them that others have not. */
function bases(): readonly Json[] {
  return examples()
    .filter(({ where }) => where.startsWith("config/load/testing/example"))
    .map(({ object }) => object);
}

/** What no schema can say: docs/reference/validation.md. */
const OFFLINE_ALONE = new Set([
  "protocols.yaml.in: ServiceEntry names",
  "rules.yaml.in: HTTPRoute regex",
  // It has a namespace, with which the server's path for it does not exist.
  "rules.yaml.in: MeshConfig main",
]);

const invalid = [
  ...new Map(
    bases()
      .flatMap((object) => invalidCases(object))
      .map((one) => [one.name, one]),
  ).values(),
  ...golden().map(({ where, object }) => ({ name: `${path.basename(where)}: ${nameOf(object)}`, object })),
].filter(({ name }) => !OFFLINE_ALONE.has(name));

describe(`${invalid.length} objects are refused for the same reasons:`, () => {
  for (const { name, object } of invalid)
    it(name, async () => {
      const refusal = await asker.refusal(object);
      assert.ok(refusal !== undefined, "the API server would take it");
      const [ours, theirs] = [offline(object), reasonsOf(refusal)];
      assert.notDeepEqual(ours, []);
      assert.deepEqual(compare(ours, theirs), { offlineAlone: [], serverAlone: [] }, refusal.message ?? "");
    });
});
