import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { HealthCheck } from "#config/model/cluster.ts";
import { encodeFrame } from "#lib/grpc/frames.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import { endpointOf } from "../testing/cluster-of.ts";
import { probeTargetOf } from "../testing/probe-target.ts";
import type { Probe } from "./probe.ts";
import { makeStandardProbe } from "./standard-probes.ts";

const IDENTITY = "spiffe://cluster.local/ns/shop/sa/payments";
const authority = await makeAuthority();
const leaf = await authority.issue({ uri: IDENTITY });

type Answer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

/** A sidecar that answers so, and a probe that asks it for an instance behind it. */
async function setUp(check: HealthCheck["check"], answer: Answer, timeoutMs = 30_000) {
  const server = http2.createSecureServer({
    cert: leaf.chainPem,
    key: leaf.keyPem,
    settings: { enableConnectProtocol: true },
  });
  let sessions = 0;
  server.on("session", () => void sessions++);
  server.on("sessionError", () => undefined);
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    answer(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // as: a TCP server that listens
  const mesh = {
    kind: "peer",
    identity: IDENTITY,
    inboundAddress: "127.0.0.1",
    inboundPort: port,
    version: "",
  } as const;
  const endpoint = { ...endpointOf("10.0.0.1", 6379), mesh };
  const { bundlePem } = authority;
  const target = probeTargetOf({
    check,
    endpoint,
    port,
    expectedIdentity: IDENTITY,
    alpn: ["h2"],
    bundlePem,
    timeoutMs,
  });
  const probe: Probe = makeStandardProbe(target);
  const close = (): void => {
    probe.close();
    server.close();
  };
  return { probe, close, sessions: () => sessions };
}

const hex = (text: string): string => Buffer.from(text).toString("hex");

test("a gRPC probe asks the service behind a sidecar, on a connection that it keeps", async () => {
  const seen = new Set<unknown>();
  let answer: { readonly status: string; readonly body: Buffer } = { status: "0", body: Buffer.from([0x08, 1]) };
  const { probe, close, sessions } = await setUp(
    { kind: "grpc", serviceName: "shop", authority: "payments.shop" },
    (stream, headers) => {
      seen.add(`${String(headers[":method"])} ${String(headers[":authority"])}${String(headers[":path"])}`);
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": answer.status }));
      stream.end(encodeFrame(0, answer.body));
    },
  );
  assert.equal(await probe.check(), "healthy");
  answer = { status: "0", body: Buffer.from([0x08, 2]) };
  assert.equal(await probe.check(), "refused");
  answer = { status: "14", body: Buffer.alloc(0) };
  assert.equal(await probe.check(), "refused");
  assert.deepEqual([...seen], ["POST payments.shop/grpc.health.v1.Health/Check"]);
  assert.equal(sessions(), 1);
  close();
});

test("a gRPC probe whose call has no answer has failed", async () => {
  const { probe, close } = await setUp({ kind: "grpc", serviceName: "", authority: "" }, () => undefined, 100);
  await assert.rejects(probe.check(), /did not answer within 100 ms/);
  close();
});

test("a TCP probe of an instance behind a sidecar reaches for the application", async () => {
  let isUp = true;
  const { probe, close } = await setUp(
    { kind: "tcp", send: hex("PING"), receive: [hex("PONG")] },
    (stream, headers) => {
      const isTunnel = headers[":method"] === "CONNECT" && headers[":protocol"] === "heddle-tcp";
      if (!isUp || !isTunnel) {
        stream.respond({ ":status": 503, "proxy-status": "x; error=connection_refused" }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200 });
      stream.on("data", (bytes: Buffer) => stream.write(bytes.toString() === "PING" ? "+PONG" : "-ERR"));
    },
  );
  assert.equal(await probe.check(), "healthy");
  isUp = false;
  await assert.rejects(probe.check(), /10\.0\.0\.1:6379: its sidecar answered 503: x; error=connection_refused/);
  close();
});
