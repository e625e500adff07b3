// A mesh of captured pods with everything real but the registry: network namespaces, iptables by heddle-init, both planes, mutual TLS.
import assert from "node:assert/strict";
import path from "node:path";
import { before, it } from "node:test";

import { ADDRESSES, APP, FAMILIES, PODS, STRANGER, type Family, type MeshFindings } from "./captured/mesh-plan.ts";
import { runInNamespace } from "./captured/run-in-namespace.ts";

const NODE_FILE = path.join(import.meta.dirname, "captured", "node.ts");
const SOURCE = { IPv4: "127.0.0.6", IPv6: "::6" } as const;

let findings: MeshFindings;

before(async () => {
  findings = (await runInNamespace(NODE_FILE)) as MeshFindings; // as: node.ts writes it
});

/** What the application says of a request. */
function told(
  pod: "web" | "reviews",
  url: string,
  host: string,
  at: Family,
  port: number = APP.http,
  from: string = SOURCE[at],
): RegExp {
  const text = `${pod} ${url}; host ${host}; at ${PODS[pod][at]} ${port}; from ${from}; mesh fields \n`;
  return new RegExp(`^HTTP/1\\.1 200[^]*\r\n\r\n${text.replaceAll(/[.]/g, "\\.")}$`);
}

interface LogLine {
  readonly direction: string;
  readonly path: string | null;
  readonly local: string;
  readonly upstream_cluster: string;
}

for (const family of FAMILIES) {
  it(`a call to a service's ${family} address has its routes, and reaches the application at its own address`, () => {
    // The endpoint is the instance's first address, whatever family the service was called by.
    assert.match(findings[family].service, told("reviews", "/service", "reviews", "IPv4"));
    assert.match(findings[family].service, /^x-route: reviews\r$/m);
  });

  it(`the Host of a call to an ${family} address changes nothing, and arrives as it was sent`, () => {
    assert.match(findings[family].otherHost, told("reviews", "/other-host", "web.shop", "IPv4"));
  });

  it(`fields of the mesh that the application forges are taken away (${family})`, () => {
    assert.match(findings[family].forged, told("reviews", "/forged", "reviews", "IPv4"));
  });

  it(`a call to an instance's ${family} address reaches that one at that address, by mutual TLS, without the service's routes`, () => {
    assert.match(findings[family].instance, told("reviews", "/instance", "reviews-1.reviews", family));
    assert.doesNotMatch(findings[family].instance, /x-route/);
  });

  it(`a server that speaks first is heard through a headless service and through one with an address (${family})`, () => {
    assert.equal(findings[family].headless, `220 reviews at ${PODS.reviews[family]}\r\n`);
    assert.equal(findings[family].mail, `220 reviews at ${PODS.reviews.IPv4}\r\n`);
  });

  it(`a pod is called on a port of no service by mutual TLS with its identity, whatever it speaks (${family})`, () => {
    const { unlisted, unlistedGreeted } = findings[family];
    assert.match(unlisted, told("reviews", "/unlisted", "reviews-1", family, APP.unlisted));
    assert.equal(unlistedGreeted, `220 reviews at ${PODS.reviews[family]}\r\n`);
  });

  it(`a port that is left out of interception is called past the mesh (${family})`, () => {
    assert.match(
      findings[family].passed,
      told("reviews", "/passed", "reviews-1", family, APP.passed, PODS.web[family]),
    );
  });

  it(`a pod calls itself through its own service (${family})`, () => {
    assert.match(findings[family].itself, told("web", "/itself", "web", "IPv4"));
  });

  it(`a service without instances answers 503, whatever becomes of unknown addresses (${family})`, () => {
    assert.match(findings[family].empty, /^HTTP\/1\.1 503 [^]*no_healthy_upstream/);
  });

  it(`what nobody knows goes on unchanged where that is allowed (${family})`, () => {
    assert.equal(findings[family].unknown, "raw GET / HTTP/1.1\r\nhost: reviews.shop\r\nconnection: close\r\n\r\n");
    assert.equal(findings[family].unknownGreeted, "220 stranger\r\n");
  });

  it(`what nobody knows is refused where it is not allowed, HTTP with the reason (${family})`, () => {
    assert.match(findings[family].deniedHttp, /^HTTP\/1\.1 502 [^]*outboundPolicy: deny/);
    assert.match(findings[family].denied, /^(error ECONNRESET)?$/);
  });

  it(`STRICT refuses plaintext on every port, of a service or not; PERMISSIVE takes it (${family})`, () => {
    const { plaintext, plaintextUnlisted, permissive, permissiveUnlisted } = findings[family];
    assert.match(plaintext, /^(error ECONNRESET)?$/);
    assert.match(plaintextUnlisted, /^(error ECONNRESET)?$/);
    assert.match(permissive, told("reviews", "/permissive", "reviews", family));
    assert.match(permissiveUnlisted, told("reviews", "/permissive", "reviews", family, APP.unlisted));
  });

  it(`what listens on loopback alone, and the proxy's own ports, cannot be reached from outside (${family})`, () => {
    const { loopbackOnly, straightIn, admin } = findings[family];
    assert.doesNotMatch(loopbackOnly, /must not be reached/);
    assert.match(straightIn, /^(error ECONNRESET)?$/);
    assert.equal(admin, "error ECONNREFUSED");
  });

  it(`plaintext to unknown destinations is counted by destination (${family})`, () => {
    const host = family === "IPv6" ? `[${STRANGER.IPv6}]` : STRANGER.IPv4;
    assert.ok(findings.metrics.web.includes(`heddle_plaintext_connections_total{destination="${host}:8080"} 1\n`));
  });

  it(`access logs have the address that was called as the local one (${family})`, () => {
    const log = findings.accessLog
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as LogLine); // as: the log's format
    const written = (address: string, port: number): string =>
      family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
    const clusterOf = (local: string): string | undefined =>
      log.find((line) => line.direction === "outbound" && line.local === local)?.upstream_cluster;
    assert.equal(clusterOf(written(ADDRESSES.reviews[family], 80)), "outbound/shop/reviews/80");
    assert.equal(clusterOf(written(PODS.reviews[family], APP.http)), "direct/shop/reviews/80");
    assert.equal(clusterOf(written(PODS.reviews[family], APP.greeter)), "direct/shop/mail-headless/2525");
    assert.equal(clusterOf(written(PODS.reviews[family], APP.unlisted)), "pods/shop/reviews");
    assert.equal(clusterOf(written(PODS.reviews[family], APP.unlistedGreeter)), "pods/shop/reviews");
    assert.equal(clusterOf(written(STRANGER[family], 25)), "outbound/passthrough");
  });
}

it("nothing goes to a pod of the mesh in plaintext but to ports that are left out, whatever its ports", () => {
  const lines = findings.metrics.web
    .split("\n")
    .filter((line) => line.startsWith("heddle_plaintext_connections_total"));
  assert.deepEqual(
    lines
      .filter((line) => Object.values(PODS.reviews).some((address) => line.includes(address)))
      .map((line) => /:(\d+)"/.exec(line)?.[1]),
    FAMILIES.map(() => String(APP.passed)),
  );
});
