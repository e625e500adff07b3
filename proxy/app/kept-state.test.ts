import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";

import { bootstrapYaml, clusterYaml, serveHttp, TestPlane } from "./testing/plane-of.ts";

const FILTERS = "type.googleapis.com";

/** A chain with a rate limit of two requests an hour, a breaker that five failures open, and what routes say to it. */
function listenerYaml(name: string, cluster: string): string {
  const typed = (type: string, fields: string): string =>
    `{ "@type": ${FILTERS}/xds.type.v3.TypedStruct, type_url: ${FILTERS}/heddle.filters.${type}, value: ${fields} }`;
  const socket = "{ socket_address: { address: 127.0.0.1, port_value: 0 } }";
  return `
  - name: ${name}
    address: ${socket}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": ${FILTERS}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { prefix: /limited }, route: { cluster: ${cluster} }, typed_per_filter_config: { heddle.circuit_breaker: { "@type": ${FILTERS}/envoy.config.route.v3.FilterConfig, disabled: true } } }
              - match: { prefix: /routes-own }
                route: { cluster: ${cluster} }
                typed_per_filter_config:
                  envoy.filters.http.local_ratelimit: { "@type": ${FILTERS}/envoy.config.route.v3.FilterConfig, disabled: true }
                  heddle.circuit_breaker: ${typed("circuit_breaker.v1.CircuitBreaker", "{ rule: HTTPRoute shop/own, policy: { volumeThreshold: 5, sleepWindowMs: 600000 } }")}
              - { match: { prefix: / }, route: { cluster: ${cluster} }, typed_per_filter_config: { envoy.filters.http.local_ratelimit: { "@type": ${FILTERS}/envoy.config.route.v3.FilterConfig, disabled: true } } }
          http_filters:
          - { name: envoy.filters.http.local_ratelimit, typed_config: ${typed("rate_limit.v1.RateLimit", "{ buckets: [{ requests: 2, perMs: 3600000 }] }")} }
          - { name: heddle.circuit_breaker, typed_config: ${typed("circuit_breaker.v1.CircuitBreaker", "{}")} }
          - { name: router, typed_config: { "@type": ${FILTERS}/envoy.extensions.filters.http.router.v3.Router } }`;
}

const BREAKER =
  "\n    metadata: { filter_metadata: { heddle.breaker: { volumeThreshold: 5, sleepWindowMs: 600000 } } }";

test("a hundred edits of other things leave an open breaker open, a route's own too, and an empty bucket empty", async (t) => {
  const backend = await serveHttp((request, response) => {
    response.statusCode = request.url === "/limited" ? 200 : 503;
    response.end();
  });
  t.after(() => backend.close());
  const test = new TestPlane();
  t.after(() => test.plane.drain(1000));
  const backendYaml = clusterYaml("backend", backend.port) + BREAKER;
  const bootstrap = (edit: number): string =>
    bootstrapYaml(
      [listenerYaml("web", "backend"), listenerYaml(`other-${Math.floor(edit / 25) % 2}`, "elsewhere")],
      [backendYaml, clusterYaml("elsewhere", 1 + edit)],
    );
  await test.apply(bootstrap(0));
  const ask = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      http
        // Of no agent: a connection kept alive would hold up the end of the test.
        .get({ port: test.port("web"), host: "127.0.0.1", path, agent: false }, (response) => {
          let body = "";
          response.on("data", (bytes: Buffer) => (body += bytes.toString()));
          response.on("end", () => resolve(`${response.statusCode} ${/"code":"(\w+)"/.exec(body)?.[1] ?? ""}`));
        })
        .on("error", reject);
    });
  const PATHS = ["/", "/routes-own", "/limited"];
  for (let i = 0; i < 6; i++) for (const path of PATHS) await ask(path);
  const all = ["503 breaker_open", "503 breaker_open", "429 rate_limited"];
  const found = async (): Promise<readonly string[]> => [
    await ask("/"),
    await ask("/routes-own"),
    await ask("/limited"),
  ];
  assert.deepEqual(await found(), all);
  for (let edit = 1; edit <= 100; edit++) await test.apply(bootstrap(edit));
  assert.deepEqual(await found(), all);
});
