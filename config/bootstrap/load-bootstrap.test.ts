import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import type { DecodeOptions } from "../xds/issues.ts";
import { loadBootstrap } from "./load-bootstrap.ts";
import { BootstrapError } from "./problem.ts";

const options: DecodeOptions = {
  knownFilters: new Set([
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "type.googleapis.com/heddle.filters.v1.Tenant",
  ]),
};

function readFile(file: string): Uint8Array {
  return Buffer.from(`content of ${file}`);
}

function readVariable(name: string): string {
  return `value of ${name}`;
}

function example(name: string): string {
  return readFileSync(path.join(import.meta.dirname, "testing", name), "utf8");
}

/** `line:column code path` of everything that is wrong with a text. */
function problemsOf(text: string, decodeOptions: DecodeOptions = options): string[] {
  try {
    loadBootstrap(text, "b.yaml", decodeOptions);
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    return error.problems.map(({ code, column, line, path: where }) => `${line}:${column} ${code} ${where}`);
  }
  return [];
}

describe("a bootstrap", () => {
  it("that Envoy 1.40 takes is read whole", () => {
    const bootstrap = loadBootstrap(example("sidecar.yaml"), "sidecar.yaml", options);
    assert.deepEqual(bootstrap.ads, { cluster: "control-plane", delta: true, listeners: true, clusters: true });
    assert.deepEqual(bootstrap.admin, { address: "127.0.0.1", port: 15000 });
    assert.deepEqual(
      bootstrap.listeners.map((listener) => listener.name),
      ["web", "tcp"],
    );
    assert.deepEqual(bootstrap.heddle, {
      identity: {
        address: { address: "127.0.0.1", port: 15012 },
        rootsFile: "/etc/heddle/roots.pem",
        tokenFile: "/etc/heddle/token",
        renewWith: "certificate",
        spiffeId: "spiffe://cluster.local/ns/shop/sa/cart",
        certificateName: "default",
        bundleName: "ROOTCA",
      },
      metrics: { address: "127.0.0.1", port: 15020 },
      stateDir: "/etc/heddle/state",
      allowRemoteAdmin: false,
      drainTimeMs: 5000,
      terminationDrainMs: 0,
      concurrency: 1,
    });
    const network = bootstrap.listeners[0]?.filterChains[0]?.network;
    assert.equal(network?.kind, "http");
    assert.deepEqual(
      network.http.filters.map(({ config, typeUrl }) => ({ config, typeUrl })),
      [
        {
          config: {
            statPrefix: "rl",
            tokenBucket: { maxTokens: 20, tokensPerFill: 100, fillInterval: "1s" },
            filterEnabled: { defaultValue: { numerator: 100 } },
            filterEnforced: { defaultValue: { numerator: 100 } },
          },
          typeUrl: "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        },
        { config: { header: "x-tenant" }, typeUrl: "type.googleapis.com/heddle.filters.v1.Tenant" },
      ],
    );
    assert.deepEqual(bootstrap.clusters[1]?.breaker, {
      volumeThreshold: 20,
      errorPercent: 60,
      windowMs: 10_000,
      sleepWindowMs: 5000,
    });
  });

  it("tells every mistake at once, each with line and column", () => {
    const manager = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    const host = `${manager}.route_config.virtual_hosts[0]`;
    assert.deepEqual(problemsOf(example("broken.yaml")), [
      "1:16 HDL_CONFIG_UNKNOWN_FIELD node.clster",
      "1:62 HDL_CONFIG_INVALID_VALUE node.metadata.heddle.drain_time_ms",
      "1:77 HDL_CONFIG_INVALID_VALUE node.metadata.heddle.metrcs",
      "3:41 HDL_CONFIG_INVALID_VALUE admin.address.socket_address.address",
      "3:64 HDL_CONFIG_INVALID_VALUE admin.address.socket_address.port_value",
      "4:1 HDL_BOOTSTRAP_UNSUPPORTED layered_runtime",
      "5:1 HDL_BOOTSTRAP_UNSUPPORTED overload_manager",
      `16:29 HDL_CONFIG_WRONG_TYPE ${manager}.stat_prefix`,
      `17:29 HDL_CONFIG_INVALID_VALUE ${manager}.codec_type`,
      `18:17 HDL_BOOTSTRAP_UNSUPPORTED ${manager}.add_user_agent`,
      `19:38 HDL_CONFIG_WRONG_TYPE ${manager}.stream_idle_timeout`,
      `21:21 HDL_CONFIG_INVALID_VALUE ${manager}.http_filters[0]`,
      `22:21 HDL_BOOTSTRAP_UNSUPPORTED ${manager}.http_filters[0].typed_config`,
      `28:38 HDL_CONFIG_INVALID_VALUE ${host}.domains[1]`,
      `30:57 HDL_CONFIG_INVALID_VALUE ${host}.routes[0].match.safe_regex.regex`,
      `31:34 HDL_CONFIG_INVALID_VALUE ${host}.routes[0].route`,
      `31:34 HDL_CONFIG_INVALID_VALUE ${host}.routes[0].route`,
      `31:105 HDL_BOOTSTRAP_UNSUPPORTED ${host}.routes[0].route.cors`,
      `33:67 HDL_CONFIG_INVALID_VALUE ${host}.routes[1].route.weighted_clusters.clusters`,
      "36:24 HDL_CONFIG_INVALID_VALUE static_resources.clusters[0].connect_timeout",
      "37:13 HDL_CONFIG_INVALID_VALUE static_resources.clusters[0].type",
      "38:18 HDL_CONFIG_INVALID_VALUE static_resources.clusters[0].lb_policy",
      "39:7 HDL_BOOTSTRAP_UNSUPPORTED static_resources.clusters[0].lb_subset_config",
    ]);
  });

  it("says what a misspelt field was meant to be", () => {
    assert.throws(
      () => loadBootstrap("node: { clster: a }", "b.yaml", options),
      /b\.yaml:1:9: error: .*did you mean cluster\?/,
    );
  });

  it("may be JSON with lowerCamel names", () => {
    const yaml =
      "static_resources: { clusters: [{ name: a, connect_timeout: 1s, load_assignment: { cluster_name: a } }] }";
    const json =
      '{"staticResources":{"clusters":[{"name":"a","connectTimeout":"1s","loadAssignment":{"clusterName":"a"}}]}}';
    assert.deepEqual(loadBootstrap(json, "b.json", options), loadBootstrap(yaml, "b.yaml", options));
  });

  it("refuses a field in both spellings, and two members of a oneof", () => {
    assert.deepEqual(problemsOf("{ static_resources: {}, staticResources: {} }"), [
      "1:25 HDL_CONFIG_RULE static_resources",
    ]);
    const secret = "{ name: s, tls_certificate: {}, validation_context: {} }";
    assert.deepEqual(
      problemsOf(`static_resources: { secrets: [${secret}] }`).at(-1),
      "1:63 HDL_CONFIG_RULE static_resources.secrets[0].validation_context",
    );
  });

  it("lets an unsupported field through by its path", () => {
    const text = "layered_runtime: { layers: [] }\ncluster_manager: { local_cluster_name: a }";
    assert.deepEqual(problemsOf(text), [
      "1:1 HDL_BOOTSTRAP_UNSUPPORTED layered_runtime",
      "2:1 HDL_BOOTSTRAP_UNSUPPORTED cluster_manager",
    ]);
    const allowUnsupported = new Set(["layered_runtime", "cluster_manager"]);
    assert.deepEqual(problemsOf(text, { ...options, allowUnsupported }), []);
  });

  it("reads files and variables of secrets through what it was given", () => {
    const certificate = "{ certificate_chain: { filename: /c.pem }, private_key: { environment_variable: KEY } }";
    const text = `static_resources: { secrets: [{ name: s, tls_certificate: ${certificate} }] }`;
    assert.deepEqual(loadBootstrap(text, "b.yaml", { ...options, readFile, readVariable }).secrets, [
      { kind: "certificate", name: "s", certificate: { chainPem: "content of /c.pem", keyPem: "value of KEY" } },
    ]);
    assert.deepEqual(problemsOf(text), [
      "1:82 HDL_BOOTSTRAP_UNSUPPORTED static_resources.secrets[0].tls_certificate.certificate_chain.filename",
      "1:139 HDL_CONFIG_INVALID_VALUE static_resources.secrets[0].tls_certificate.private_key.environment_variable",
    ]);
  });

  it("that uses a control plane must say who it is and where that is", () => {
    const service = "{ envoy_grpc: { cluster_name: nowhere } }";
    const text = `dynamic_resources: { ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [${service}] } }`;
    assert.deepEqual(
      problemsOf(text).map((line) => line.split(" ")[2]),
      ["node.id", "node.cluster", "dynamic_resources.ads_config"],
    );
  });

  it("that is no YAML, or more than one document, is refused with its place", () => {
    assert.deepEqual(problemsOf("a: [1\nb: 2"), ["2:1 HDL_CONFIG_SYNTAX "]);
    assert.deepEqual(problemsOf("node: {}\n---\nnode: {}"), ["3:1 HDL_CONFIG_NOT_A_RESOURCE "]);
  });
});
