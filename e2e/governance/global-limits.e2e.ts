// Global limits: proxies that ask Envoy's reference rate-limit server on Redis, and Envoy itself beside them.
// Time limit: 600 s.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import type { AddressInfo } from "node:net";

import { Envoy } from "../wire/envoy.ts";
import { Proxy, type ProxyConfig } from "../wire/proxy.ts";
import { RateLimitServer } from "./rate-limit-service.ts";

const LIMITS = `
domain: shop
descriptors:
  - { key: user, value: shared, rate_limit: { name: shared, unit: hour, requests_per_unit: 50 } }
  - { key: user, value: heddle, rate_limit: { name: per-user, unit: hour, requests_per_unit: 2 } }
  - { key: user, value: envoy, rate_limit: { name: per-user, unit: hour, requests_per_unit: 2 } }
  - { key: user, rate_limit: { unit: hour, requests_per_unit: 3 } }
  - { key: generic_key, value: heavy, rate_limit: { unit: hour, requests_per_unit: 10 } }
`;

const TYPES = "type.googleapis.com/envoy.extensions";
const MANAGER = `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const BY_USER = [{ actions: [{ request_headers: { header_name: "x-user", descriptor_key: "user" } }] }];
const HEAVY = [{ actions: [{ generic_key: { descriptor_value: "heavy" } }], hits_addend: { number: 4 } }];

let service: RateLimitServer;
let application: http.Server;
const proxies: Proxy[] = [];
let envoy: Envoy;

function listener(name: string, filter: object = {}, routes: object[] = []): object {
  const forward = { match: { prefix: "/" }, route: { cluster: "application", rate_limits: BY_USER } };
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    filter_chains: [
      {
        filters: [
          {
            name: "http",
            typed_config: {
              "@type": MANAGER,
              stat_prefix: name,
              http_filters: [
                {
                  name: "envoy.filters.http.ratelimit",
                  typed_config: {
                    "@type": `${TYPES}.filters.http.ratelimit.v3.RateLimit`,
                    domain: "shop",
                    timeout: "2s",
                    enable_x_ratelimit_headers: "DRAFT_VERSION_03",
                    rate_limit_service: {
                      transport_api_version: "V3",
                      grpc_service: { envoy_grpc: { cluster_name: "limits" } },
                    },
                    ...filter,
                  },
                },
                {
                  name: "envoy.filters.http.router",
                  typed_config: { "@type": `${TYPES}.filters.http.router.v3.Router` },
                },
              ],
              route_config: {
                name: "routes",
                virtual_hosts: [{ name: "all", domains: ["*"], routes: [...routes, forward] }],
              },
            },
          },
        ],
      },
    ],
  };
}

function cluster(name: string, port: number, more: object = {}): object {
  const address = { socket_address: { address: "127.0.0.1", port_value: port } };
  const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
  return { name, type: "STATIC", connect_timeout: "1s", load_assignment, ...more };
}

function config(): ProxyConfig {
  const { port } = application.address() as AddressInfo; // as: it listens on TCP
  const options = `${TYPES}.upstreams.http.v3.HttpProtocolOptions`;
  const http2 = {
    [options.slice(options.indexOf("/") + 1)]: {
      "@type": options,
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  return {
    listeners: [
      listener("open", {}, [{ match: { prefix: "/heavy" }, route: { cluster: "application", rate_limits: HEAVY } }]),
      listener("closed", { failure_mode_deny: true, timeout: "0.1s", status_on_error: { code: "ServiceUnavailable" } }),
      listener("grpc", { rate_limited_as_resource_exhausted: true, rate_limited_status: { code: "Forbidden" } }),
      listener("short", { timeout: "0.1s" }),
    ],
    clusters: [
      cluster("application", port),
      cluster("limits", service.port, { typed_extension_protocol_options: http2 }),
    ],
  };
}

before(async () => {
  service = await RateLimitServer.start(LIMITS);
  application = http.createServer((_request, response) => response.end("ok")).listen(0, "127.0.0.1");
  await new Promise((resolve) => application.once("listening", resolve));
  proxies.push(await Proxy.start(config()), await Proxy.start(config()));
  envoy = await Envoy.start(config());
});

after(async () => {
  for (const proxy of proxies) await proxy.stop();
  await envoy?.stop();
  application?.closeAllConnections();
  application?.close();
  await service?.stop();
});

async function ask(
  proxy: { port(listener: string): number } | undefined,
  from: string,
  user: string,
  path = "/",
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; ms: number }> {
  const startMs = performance.now();
  const url = `http://127.0.0.1:${proxy?.port(from)}${path}`;
  const answer = await fetch(url, { headers: { ...headers, ...(user === "" ? {} : { "x-user": user }) } });
  await answer.arrayBuffer();
  return { status: answer.status, headers: answer.headers, ms: performance.now() - startMs };
}

test("two proxies share one limit exactly, however the requests come", async () => {
  const answers = await Promise.all(
    Array.from({ length: 120 }, (_, index) => ask(proxies[index % 2], "open", "shared")),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 50);
  assert.equal(answers.filter(({ status }) => status === 429).length, 70);
});

test("answers tell the limit as Envoy's do", async () => {
  const [heddle] = proxies;
  const names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-envoy-ratelimited"];
  const tell = async (proxy: { port(listener: string): number } | undefined, user: string) => {
    const told: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const { status, headers } = await ask(proxy, "open", user);
      told.push([status, ...names.map((name) => headers.get(name))]);
    }
    return told;
  };
  const told = await tell(heddle, "heddle");
  assert.deepEqual(told, await tell(envoy, "envoy"));
  assert.deepEqual(told.at(-1), [429, '2, 2;w=3600;name="per-user"', "0", "true"]);
  const { headers } = await ask(heddle, "open", "heddle");
  assert.equal(headers.get("ratelimit-policy"), '"per-user";q=2;w=3600');
  const seconds = Number(headers.get("retry-after"));
  assert.ok(seconds >= 1 && seconds <= 3600, String(seconds));
});

test("requests without a descriptor are not asked about, and hits count", async () => {
  for (let i = 0; i < 5; i++) assert.equal((await ask(proxies[0], "open", "")).status, 200);
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await ask(proxies[i % 2], "open", "", "/heavy")).status);
  assert.deepEqual(statuses, [200, 200, 429]);
});

test("gRPC is answered RESOURCE_EXHAUSTED where the filter says so, others its status", async () => {
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await ask(proxies[0], "grpc", "grpc-user")).status);
  assert.deepEqual(statuses, [200, 200, 200, 403]);
  const { headers } = await ask(proxies[0], "grpc", "grpc-user", "/", { "content-type": "application/grpc" });
  assert.equal(headers.get("grpc-status"), "8");
});

test("a service that is slow is not waited for: the request goes on, or is refused, when the time is over", async () => {
  service.pause();
  try {
    for (const [from, status] of [
      ["short", 200],
      ["closed", 503],
    ] as const) {
      const answer = await ask(proxies[0], from, "slow");
      assert.equal(answer.status, status, from);
      assert.ok(answer.ms >= 95, `${from}: ${answer.ms} ms`);
    }
  } finally {
    service.goOn();
  }
});

test("a service that is gone is open or closed as configured, is not stormed, and is found again", async () => {
  await service.kill();
  const many = async (from: string): Promise<readonly number[]> =>
    (await Promise.all(Array.from({ length: 60 }, () => ask(proxies[1], from, "gone")))).map(({ status }) => status);
  assert.deepEqual(new Set(await many("open")), new Set([200]));
  assert.deepEqual(new Set(await many("closed")), new Set([503]));
  const metrics = await (await fetch(`http://127.0.0.1:${proxies[1]?.adminPort}/metrics`)).text();
  assert.match(metrics, /heddle_rate_limit_service_total\{[^}]*result="failure_mode_allowed"[^}]*\} \d+/);
  await service.restart();
  const end = performance.now() + 20_000;
  let status = 503;
  while (status !== 200 && performance.now() < end) status = (await ask(proxies[1], "closed", "back")).status;
  assert.equal(status, 200);
});
