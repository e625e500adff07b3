// What a hop does to heads as they pass.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { before, describe, it } from "node:test";
import fc from "fast-check";

import type { HttpConnectionManager } from "#config/model/listener.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { normalizeTarget } from "./normalize.ts";
import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

type Pairs = readonly (readonly [string, string])[];

/** The head that goes upstream. */
function upstream(options: BenchOptions, path = "/a", ...headers: Pairs) {
  const bench = new ExchangeBench(options);
  bench.request("GET", path, true, ...headers);
  const { head } = bench.attempt.stream;
  assert.ok(head);
  return head;
}

describe("x-request-id", () => {
  it("is kept inside, and made anew at an edge unless it is to be preserved", () => {
    const given = ["x-request-id", "mine"] as const;
    const inside = { useRemoteAddress: false };
    const edge = { useRemoteAddress: true, preserveExternalRequestId: false };
    assert.equal(upstream({ http: inside }, "/a", given).get("x-request-id"), "mine");
    assert.match(upstream({ http: edge }, "/a", given).get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    const kept = { useRemoteAddress: true, preserveExternalRequestId: true };
    assert.equal(upstream({ http: kept }, "/a", given).get("x-request-id"), "mine");
    assert.equal(upstream({ http: { generateRequestId: false } }).has("x-request-id"), false);
  });
});

describe("x-forwarded-for and x-forwarded-proto", () => {
  it("tell of the peer where its address is to be used", () => {
    const head = upstream(
      { http: { useRemoteAddress: true, xffTrustedHops: 0 } },
      "/a",
      ["x-forwarded-for", "192.0.2.1"],
      ["x-forwarded-proto", "https"],
    );
    assert.equal(head.get("x-forwarded-for"), "192.0.2.1, 127.0.0.1");
    assert.equal(head.get("x-forwarded-proto"), "http");
  });

  it("are believed otherwise, and behind trusted proxies", () => {
    const http = { useRemoteAddress: true, xffTrustedHops: 1 };
    assert.equal(upstream({ http }, "/a", ["x-forwarded-proto", "https"]).get("x-forwarded-proto"), "https");
  });

  it("name the client that is believed, counted from the right", () => {
    const forwarded = ["x-forwarded-for", "192.0.2.1, 192.0.2.2, 192.0.2.3"] as const;
    const clientOf = (http: Partial<HttpConnectionManager>, ...headers: Pairs): string => {
      const bench = new ExchangeBench({ http });
      bench.request("GET", "/a", true, ...headers);
      return bench.exchange.clientAddress;
    };
    assert.equal(clientOf({ useRemoteAddress: true, xffTrustedHops: 0 }, forwarded), "127.0.0.1");
    assert.equal(clientOf({ useRemoteAddress: true, xffTrustedHops: 2 }, forwarded), "192.0.2.2");
    assert.equal(clientOf({ useRemoteAddress: false, xffTrustedHops: 0 }, forwarded), "192.0.2.3");
    assert.equal(clientOf({ useRemoteAddress: false, xffTrustedHops: 9 }, forwarded), "127.0.0.1");
    assert.equal(
      clientOf({ useRemoteAddress: false, xffTrustedHops: 0 }, ["x-forwarded-for", "no address"]),
      "127.0.0.1",
    );
    assert.equal(
      clientOf({ useRemoteAddress: false, xffTrustedHops: 0 }, ["x-forwarded-for", "2001:db8::1"]),
      "2001:db8::1",
    );
  });
});

describe("via and server", () => {
  it("are written as the listener says", () => {
    const bench = new ExchangeBench({ http: { via: "1.1 edge", serverHeader: "append_if_absent", serverName: "us" } });
    bench.request("GET", "/a", true, ["via", "1.0 before"]);
    assert.equal(bench.attempt.stream.head?.getJoined("via"), "1.0 before, 1.1 edge");
    bench.attempt.answer(200, "x");
    assert.equal(bench.downstream.head?.get("server"), "us");
    assert.equal(bench.downstream.head?.getJoined("via"), "1.1 edge");
    for (const [serverHeader, expected] of [
      ["append_if_absent", "app"],
      ["overwrite", "us"],
      ["pass_through", "app"],
    ] as const) {
      const other = new ExchangeBench({ http: { serverHeader, serverName: "us" } });
      other.request("GET", "/a", true);
      other.attempt.answer(200, "x", ["server", "app"]);
      assert.equal(other.downstream.head?.getJoined("server"), expected);
    }
  });
});

describe("fields of the mesh", () => {
  it("pass from a peer and from nobody else, in both directions", () => {
    const peer = new ExchangeBench({ peerIdentity: "spiffe://mesh/ns/a/sa/b" });
    peer.request("GET", "/a", true, ["heddle-x", "1"]);
    assert.equal(peer.attempt.stream.head?.get("heddle-x"), "1");
    const stranger = new ExchangeBench();
    stranger.request("GET", "/a", true, ["heddle-x", "1"], ["heddle-y", "2"]);
    stranger.attempt.answer(200, "x", ["heddle-z", "3"]);
    assert.equal(stranger.attempt.stream.head?.has("heddle-x"), false);
    assert.equal(stranger.attempt.stream.head?.has("heddle-y"), false);
    assert.equal(stranger.downstream.head?.has("heddle-z"), false);
  });
});

describe("x-forwarded-client-cert", () => {
  const WEB = "spiffe://mesh/ns/shop/sa/web";
  const ALL = { subject: true, uri: true, dns: true, cert: true };
  const forged = ["x-forwarded-client-cert", "By=forged"] as const;
  let pem = "";
  before(async () => {
    pem = (await (await makeAuthority()).issue({ uri: WEB, dns: ["a.example", "b.example"] })).chainPem;
  });

  it("tells what Envoy tells, in Envoy's order", () => {
    const connection = { peerIdentity: WEB, peerCertificatePem: pem, localIdentity: "spiffe://mesh/ns/shop/sa/api" };
    const http = { forwardClientCert: "sanitize_set", clientCertDetails: ALL } as const;
    const hash = createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
    const cert = encodeURIComponent(new X509Certificate(pem).toString());
    assert.equal(
      upstream({ http, connection }, "/a", forged).getJoined("x-forwarded-client-cert"),
      `By=spiffe://mesh/ns/shop/sa/api;Hash=${hash};Cert="${cert}";Subject="CN=test";URI=${WEB};DNS=a.example;DNS=b.example`,
    );
  });

  it("is appended, forwarded, or removed as the mode says", () => {
    const connection = { peerIdentity: WEB };
    const clientCertDetails = { subject: false, uri: true, dns: false, cert: false };
    const seen = (forwardClientCert: HttpConnectionManager["forwardClientCert"], isVerified: boolean) =>
      upstream(
        { http: { forwardClientCert, clientCertDetails }, ...(isVerified ? { connection } : {}) },
        "/a",
        forged,
      ).getJoined("x-forwarded-client-cert");
    assert.equal(seen("append_forward", true), `By=forged,URI=${WEB}`);
    assert.equal(seen("sanitize_set", true), `URI=${WEB}`);
    assert.equal(seen("forward_only", true), "By=forged");
    assert.equal(seen("sanitize", true), undefined);
    for (const mode of ["append_forward", "sanitize_set", "forward_only", "sanitize"] as const)
      assert.equal(seen(mode, false), undefined, mode);
    assert.equal(seen("always_forward_only", false), "By=forged");
  });
});

describe("a request's target", () => {
  it("is written in one way before it is matched", () => {
    const http = { normalizePath: true, mergeSlashes: true, stripMatchingHostPort: true };
    const head = upstream({ http, connection: { localPort: 8080 } }, "/a//%2e%2e/./b%7Ec%2f?x=//..");
    assert.equal(head.get(":path"), "/a/b~c%2F?x=//..");
    assert.equal(upstream({ http: {} }, "/a/../b").get(":path"), "/a/../b");
  });

  it("loses the listener's port alone from its host", () => {
    for (const [localPort, expected] of [
      [8080, "svc"],
      [80, "svc:8080"],
    ] as const) {
      const bench = new ExchangeBench({
        http: { stripMatchingHostPort: true },
        connection: { localPort },
        domains: ["*"],
      });
      bench.requestTo("svc:8080");
      assert.equal(bench.attempt.stream.head?.get(":authority"), expected);
    }
  });

  it("resolves dots as RFC 3986 says, for any path", () => {
    for (const [path, expected] of [
      ["/a/b/c/./../../g", "/a/g"],
      ["/..", "/"],
      ["/a/.", "/a/"],
      ["/a/..", "/"],
      ["/a\\..\\b", "/b"],
      ["/.a/..b", "/.a/..b"],
      ["/%41%zz%2E", "/A%zz."],
    ] as const)
      assert.equal(normalizeTarget(path, true, false), expected, path);
    const segment = fc.constantFrom(".", "..", "", "a", "%2e", "%2E%2e", "b.c", "%2F", "\\");
    fc.assert(
      fc.property(fc.array(segment), fc.constantFrom("", "?a/../b", "#x//y"), (segments, rest) => {
        const normal = normalizeTarget(`/${segments.join("/")}${rest}`, true, true);
        const path = normal.slice(0, normal.length - rest.length);
        assert.ok(normal.endsWith(rest));
        assert.ok(path.startsWith("/") && !path.includes("//") && !/\/\.\.?(\/|$)/.test(path), normal);
        assert.equal(normalizeTarget(normal, true, true), normal);
      }),
    );
  });
});
