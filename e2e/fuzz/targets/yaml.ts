// What operators write: documents of YAML in every kind, and bootstraps. Whatever is wrong with them is said in our own words, with its
// place; nothing is thrown but that.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

import { loadBootstrap } from "#config/bootstrap/load-bootstrap.ts";
import { BootstrapError } from "#config/bootstrap/problem.ts";
import { loadText } from "#config/load/load.ts";
import { ResourceParser } from "#config/schema/parse-resource.ts";

import { mutateLines } from "../mutate.ts";
import { blur, type Target } from "../target.ts";

const ROOT = path.join(import.meta.dirname, "..", "..", "..");

/** The YAML of the examples: every kind in them is a seed, and their words are the dictionary. */
function exampleDocuments(): readonly string[] {
  const folder = path.join(ROOT, "examples");
  const files = fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".yaml"));
  return files.flatMap((file) => fs.readFileSync(path.join(folder, file), "utf8").split(/^---$/m));
}

const YAML_WORDS: readonly string[] = [
  "\n",
  "  ",
  "- ",
  ": ",
  "{}",
  "[]",
  "null",
  "~",
  "!!binary ",
  "&a ",
  "*a",
  "<<: *a",
  "|\n",
  ">-\n",
  '"',
  "'",
  "#",
  "---\n",
  "...\n",
  "? ",
  "spec:\n",
  "  rules:\n",
  "__proto__: {}\n",
  "constructor: a\n",
  "1e999",
  "-0",
  "0x7f",
  "9007199254740993",
  "\u0000",
  "\t",
  "é",
  "apiVersion: heddle.dev/v1alpha1\n",
  "kind: TrafficPolicy\n",
  "5s",
  "100m",
  "spiffe://a/b",
  "10.0.0.0/8",
  "(",
  "[a-",
  "yes",
  "!!js/function",
];

const parser = new ResourceParser();

export const yaml: Target = {
  name: "yaml",
  covers: ["/config/load/", "/config/schema/"],
  words: YAML_WORDS,
  isLinear: true,
  seeds: () =>
    exampleDocuments()
      .map((text) => Buffer.from(text))
      .filter(({ length }) => length < 4096),
  mutate: (input, random) => mutateLines(input, random, "\n"),
  run(input) {
    const { documents, errors } = loadText(input.toString(), "fuzz.yaml");
    const words: string[] = errors.map(({ code }) => code);
    for (const error of errors) assert.ok(error.line >= 1 && error.column >= 1, "an error without a place");
    for (const document of documents) {
      const { resource, problems } = parser.parse(document);
      assert.ok(resource !== undefined || problems.length > 0, "neither a resource nor a reason");
      for (const { line, column, code, path: where } of problems) {
        assert.ok(line >= 1 && column >= 1, "a problem without a place");
        words.push(code, where.replaceAll(/\[\d+\]/g, "[]"));
      }
      words.push(resource?.kind ?? "-");
    }
    assert.equal(({} as Record<string, unknown>)["a"], undefined, "every object has become another");
    return words.slice(0, 12).join(" ").slice(0, 200);
  },
};

const BOOTSTRAP = `node: { id: a, cluster: b, metadata: { heddle: { drain_time_ms: 100 } } }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: 8080 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
          route_config:
            name: r
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: app, timeout: 5s }
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 0.25s
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }
`;

export const bootstrap: Target = {
  name: "bootstrap",
  covers: ["/config/bootstrap/", "/config/xds/"],
  words: YAML_WORDS,
  isLinear: true,
  seeds: () => [Buffer.from(BOOTSTRAP)],
  mutate: (input, random) => mutateLines(input, random, random.next() < 0.5 ? "\n" : " "),
  run(input) {
    try {
      return `${loadBootstrap(input.toString(), "fuzz.yaml", { knownFilters: new Set() }).listeners.length} listeners`;
    } catch (error) {
      if (!(error instanceof BootstrapError)) throw error;
      return blur(error.message);
    }
  },
};
