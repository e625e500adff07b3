// TLS between our two sides over real sockets: who is let in, what refusals say, rotation and resumption.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { writeBytes } from "#lib/http/outbox.ts";
import type { CertificateSecret, DownstreamTls, UpstreamTls, ValidationSource } from "#config/model/tls.ts";
import { systemClock, type Clock } from "#lib/clock.ts";
import { acceptWire } from "#proxy/wire/accept.ts";
import { connectWire, type ClientTls } from "#proxy/wire/connect.ts";
import { RecordingHandler } from "#proxy/wire/testing/recording-handler.ts";
import type { Wire, WireError, WireTls } from "#proxy/wire/wire.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";
import { DownstreamTlsContext } from "./downstream-context.ts";
import { MemorySecretStore } from "./secret-store.ts";
import { parseSubjectNames } from "./subject-names.ts";
import { makeAuthority, type TestAuthority } from "./testing/certs.ts";
import { UpstreamTlsContext } from "./upstream-context.ts";

const REVIEWS = "spiffe://mesh/ns/shop/sa/reviews";
const ORDERS = "spiffe://mesh/ns/shop/sa/orders";

let authority: TestAuthority;
let reviews: CertificateSecret;
let orders: CertificateSecret;
const loop = new WireLoop({ clock: systemClock, acceptMode: "handle", lingerMs: 20 });

before(async () => {
  authority = await makeAuthority();
  [reviews, orders] = await Promise.all([authority.issue({ uri: REVIEWS }), authority.issue({ uri: ORDERS })]);
});

function validation(prefix = "spiffe://mesh/"): ValidationSource {
  return {
    roots: { kind: "sds", name: "roots" },
    subjectAltNames: [{ type: "uri", matcher: { kind: "prefix", value: prefix, ignoreCase: false } }],
    acceptUntrusted: false,
  };
}

const COMMON = { minVersion: undefined, maxVersion: undefined, cipherSuites: [], curves: [], alpn: ["h2"] } as const;

function downstream(overrides: Partial<DownstreamTls> = {}): DownstreamTls {
  return {
    ...COMMON,
    certificate: { kind: "sds", name: "own" },
    validation: validation(),
    requireClientCertificate: true,
    sessionTickets: true,
    ...overrides,
  };
}

function upstream(overrides: Partial<UpstreamTls> = {}): UpstreamTls {
  return {
    ...COMMON,
    certificate: { kind: "sds", name: "own" },
    validation: validation(),
    sni: "",
    autoHostSni: false,
    ...overrides,
  };
}

function secretsOf(certificate: CertificateSecret, bundlePem = authority.bundlePem): MemorySecretStore {
  const store = new MemorySecretStore();
  store.set({ kind: "certificate", name: "own", certificate });
  store.set({ kind: "validation", name: "roots", bundlePem });
  return store;
}

interface Side {
  readonly port: number;
  readonly server: Server;
  readonly accepted: (WireTls | WireError)[];
}

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

async function serve(context: DownstreamTlsContext): Promise<Side> {
  const accepted: (WireTls | WireError)[] = [];
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    const raw: Socket = acceptWire(loop, socket).release();
    context.accept(raw, "", 2000, {
      onSecure(secure, tls) {
        accepted.push(tls);
        secure.on("error", () => undefined);
        secure.end(`hello ${tls.peerIdentity ?? "nobody"}`);
        secure.resume();
      },
      onFailure: (error) => accepted.push(error),
    });
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, server, accepted };
}

interface Outcome {
  readonly tls: WireTls | undefined;
  readonly error: WireError | undefined;
  readonly text: string;
}

async function dial(port: number, tls: ClientTls): Promise<Outcome> {
  const result = await new Promise<Wire | WireError>((resolve) => {
    connectWire(
      loop,
      { address: "127.0.0.1", port },
      { timeoutMs: 30_000, tls },
      { onConnected: resolve, onFailure: resolve },
    );
  });
  if ("kind" in result) return { tls: undefined, error: result, text: "" };
  const handler = new RecordingHandler();
  result.attach(handler);
  const lost = await Promise.race([handler.ended, handler.closed]);
  result.close();
  await handler.closed;
  return { tls: result.info.tls, error: lost ?? undefined, text: handler.text() };
}

describe("mutual TLS", () => {
  it("shows both sides the other's SPIFFE id over TLS 1.3 with AES-128-GCM and ALPN h2", async () => {
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock));
    const context = new UpstreamTlsContext(upstream(), secretsOf(orders), systemClock);
    const outcome = await dial(side.port, context.forTarget({ expectedIdentity: REVIEWS }));
    assert.equal(outcome.error, undefined);
    assert.equal(outcome.text, `hello ${ORDERS}`);
    assert.equal(outcome.tls?.peerIdentity, REVIEWS);
    assert.equal(outcome.tls?.localIdentity, ORDERS);
    assert.equal(outcome.tls?.alpn, "h2");
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "alpn" in seen);
    assert.equal(seen.alpn, "h2");
    assert.equal(seen.isPeerVerified, true);
    assert.match(seen.peerCertificatePem ?? "", /BEGIN CERTIFICATE/);
  });

  it("refuses a server of another identity, and says which was seen and which expected", async () => {
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(orders), systemClock));
    const context = new UpstreamTlsContext(upstream(), secretsOf(orders), systemClock);
    const { error } = await dial(side.port, context.forTarget({ expectedIdentity: REVIEWS }));
    assert.equal(error?.kind, "tls");
    assert.match(error.message, new RegExp(`expected the identity ${REVIEWS}, the certificate is for ${ORDERS}$`));
  });

  it("refuses a client without a certificate", async () => {
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock));
    const context = new UpstreamTlsContext(upstream({ certificate: undefined }), secretsOf(orders), systemClock);
    const outcome = await dial(side.port, context.forTarget({}));
    assert.equal(outcome.text, "");
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "message" in seen);
    assert.match(seen.message, /the peer showed no certificate/);
  });

  it("refuses a client of another authority on both sides", async () => {
    const other = await makeAuthority("Other CA");
    const stranger = await other.issue({ uri: ORDERS });
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock));
    const trusting = new UpstreamTlsContext(upstream(), secretsOf(stranger), systemClock);
    assert.equal((await dial(side.port, trusting.forTarget({}))).text, "");
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "message" in seen);
    assert.match(seen.message, /the certificate of URI:spiffe.*orders is not trusted/);
    const distrusting = new UpstreamTlsContext(upstream(), secretsOf(orders, other.bundlePem), systemClock);
    const { error } = await dial(side.port, distrusting.forTarget({}));
    assert.equal(error?.kind, "tls");
    assert.match(error.message, /is not trusted/);
  });

  it("refuses a client whose name no matcher allows", async () => {
    const context = new DownstreamTlsContext(
      downstream({ validation: validation("spiffe://mesh/ns/bank/") }),
      secretsOf(reviews),
      systemClock,
    );
    const side = await serve(context);
    const client = new UpstreamTlsContext(upstream(), secretsOf(orders), systemClock);
    assert.equal((await dial(side.port, client.forTarget({}))).text, "");
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "message" in seen);
    assert.match(seen.message, /expected uri prefix spiffe:\/\/mesh\/ns\/bank\/, the certificate is for/);
  });

  it("fails closed when our own certificate has expired", async () => {
    const late: Clock = { ...systemClock, wallMs: () => Date.now() + 2 * 3_600_000 };
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), late));
    const client = new UpstreamTlsContext(upstream(), secretsOf(orders), systemClock);
    assert.equal((await dial(side.port, client.forTarget({}))).text, "");
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "message" in seen);
    assert.match(seen.message, /the certificate "own" \(serial \w+\) expired at/);
    const expired = new UpstreamTlsContext(upstream(), secretsOf(orders), late);
    const { error } = await dial(side.port, expired.forTarget({}));
    assert.match(error?.message ?? "", /expired at/);
  });

  it("says that a secret has not come yet", async () => {
    const client = new UpstreamTlsContext(upstream(), new MemorySecretStore(), systemClock);
    const { error } = await dial(1, client.forTarget({}));
    assert.match(error?.message ?? "", /Cannot use the secret "own" as certificate: it has not been delivered/);
  });

  it("resumes a session, and no more after a rotation", async () => {
    const secrets = secretsOf(reviews);
    const side = await serve(new DownstreamTlsContext(downstream(), secrets, systemClock));
    const context = new UpstreamTlsContext(upstream(), secretsOf(orders), systemClock);
    const target = context.forTarget({ expectedIdentity: REVIEWS });
    const first = await dial(side.port, target);
    assert.equal(first.tls?.isResumed, false);
    const second = await dial(side.port, target);
    assert.equal(second.error, undefined);
    assert.equal(second.tls?.isResumed, true);
    assert.equal(second.text, `hello ${ORDERS}`);
    assert.equal(second.tls.peerIdentity, REVIEWS);
    secrets.set({ kind: "certificate", name: "own", certificate: await authority.issue({ uri: REVIEWS }) });
    const third = await dial(side.port, target);
    assert.equal(third.tls?.isResumed, false);
    assert.equal(third.text, `hello ${ORDERS}`);
  });

  it("a peer that goes away in the middle fails once, and no handshake is left", async () => {
    const context = new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock);
    const side = await serve(context);
    const client = connectTcp(side.port, "127.0.0.1");
    await once(client, "connect");
    // The beginning of a ClientHello.
    client.write(Buffer.from([22, 3, 1, 2, 0, 1]));
    while (context.pendingHandshakes === 0) await new Promise(setImmediate);
    client.resetAndDestroy();
    while (context.pendingHandshakes > 0) await new Promise(setImmediate);
    const [seen, ...more] = side.accepted;
    assert.equal(more.length, 0);
    assert.ok(seen !== undefined && "kind" in seen);
    assert.equal(seen.kind, "reset");
    assert.match(seen.message, /TLS handshake with 127\.0\.0\.1:\d+ failed/);
  });

  it("two handshakes that run at once get each its own peer", async () => {
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock));
    const other = "spiffe://mesh/ns/shop/sa/other";
    const clients = [secretsOf(orders), secretsOf(await authority.issue({ uri: other }))].map((secrets) =>
      new UpstreamTlsContext(upstream(), secrets, systemClock).forTarget({}),
    );
    const outcomes = await Promise.all([...clients, ...clients].map((client) => dial(side.port, client)));
    assert.deepEqual(
      outcomes.map(({ text }) => text),
      [`hello ${ORDERS}`, `hello ${other}`, `hello ${ORDERS}`, `hello ${other}`],
    );
  });

  it("a connection that sends something else fails with its reason", async () => {
    const side = await serve(new DownstreamTlsContext(downstream(), secretsOf(reviews), systemClock));
    const wire = await new Promise<Wire>((resolve, reject) => {
      connectWire(
        loop,
        { address: "127.0.0.1", port: side.port },
        { timeoutMs: 30_000 },
        {
          onConnected: resolve,
          onFailure: (error) => reject(new Error(error.message)),
        },
      );
    });
    const handler = new RecordingHandler();
    wire.attach(handler);
    writeBytes(wire.out, Buffer.from("GET / HTTP/1.1\r\n\r\n"), 0, 18);
    await handler.ended;
    wire.destroy();
    const [seen] = side.accepted;
    assert.ok(seen !== undefined && "kind" in seen);
    assert.equal(seen.kind, "tls");
  });
});

describe("subject alternative names", () => {
  it("are read apart, quoted values whole", () => {
    const names = parseSubjectNames('URI:spiffe://a/b, DNS:x.y, IP Address:10.0.0.1, URI:"spiffe://a, DNS:evil"');
    assert.deepEqual(names, {
      uris: ["spiffe://a/b", "spiffe://a, DNS:evil"],
      dns: ["x.y"],
      ips: ["10.0.0.1"],
      emails: [],
    });
  });
});
