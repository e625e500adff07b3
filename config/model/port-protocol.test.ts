import assert from "node:assert/strict";
import { test } from "node:test";
import { APP_PROTOCOLS, protocolOfPort } from "./port-protocol.ts";

test("the protocol that is said holds over appProtocol, that over the name, that over the number", () => {
  const all = { protocol: "GRPC", appProtocol: "http", name: "redis-main", port: 5432 } as const;
  assert.equal(protocolOfPort(all), "GRPC");
  assert.equal(protocolOfPort({ ...all, protocol: "AUTO" }), "AUTO");
  assert.equal(protocolOfPort({ ...all, protocol: "HTTPS" }), "TCP");
  assert.equal(protocolOfPort({ ...all, protocol: undefined }), "HTTP");
  assert.equal(protocolOfPort({ name: "redis-main", port: 8080 }), "TCP");
  assert.equal(protocolOfPort({ name: "http-db", port: 5432 }), "HTTP");
  assert.equal(protocolOfPort({ name: "db", port: 5432 }), "TCP");
  assert.equal(protocolOfPort({ name: "db", port: 5433 }), "AUTO");
});

test("an appProtocol of somebody else's says nothing", () => {
  assert.equal(protocolOfPort({ appProtocol: "example.com/odd", name: "main", port: 1 }), "AUTO");
  assert.equal(protocolOfPort({ appProtocol: "example.com/odd", name: "grpc", port: 1 }), "GRPC");
});

const cases: readonly (readonly [string, string])[] = [
  ["kubernetes.io/h2c", "HTTP2"],
  ["kubernetes.io/ws", "HTTP"],
  ["kubernetes.io/wss", "TCP"],
  ["HTTP2", "HTTP2"],
  ["https", "TCP"],
  ["grpc-web", "HTTP"],
  ["udp", "UDP"],
  ["kafka", "TCP"],
];
for (const [appProtocol, expected] of cases) {
  test(`appProtocol ${appProtocol} is ${expected}`, () => {
    assert.equal(protocolOfPort({ appProtocol, name: "main", port: 1 }), expected);
  });
}

test("a name counts up to its first hyphen, and grpc-web is one word", () => {
  const of = (name: string): string => protocolOfPort({ name, port: 1 });
  assert.deepEqual(
    ["http", "http-web", "http2-a", "grpc", "grpc-web", "grpc-web-a", "grpc-webs", "tls-a", "udp-dns"].map(of),
    ["HTTP", "HTTP", "HTTP2", "GRPC", "HTTP", "HTTP", "GRPC", "TCP", "UDP"],
  );
  assert.deepEqual(["httpbin", "web-http", "main", "redisx"].map(of), ["AUTO", "AUTO", "AUTO", "AUTO"]);
});

test("no appProtocol is one of those that an object has of itself", () => {
  for (const name of ["constructor", "__proto__", "tostring"]) assert.equal(protocolOfPort({ name, port: 1 }), "AUTO");
  assert.ok(APP_PROTOCOLS.includes("kubernetes.io/h2c"));
});
