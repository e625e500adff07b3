// All rows, in the order of the table that they answer.
import type { ContenderName } from "./contenders/contender.ts";
import type { Comparison, Row, Target } from "./row.ts";
import { bulkRow, tcpRow } from "./rows/bulk.ts";
import { fairnessRow } from "./rows/fairness.ts";
import { fixedRateRow } from "./rows/fixed-rate.ts";
import { handshakeRow } from "./rows/handshakes.ts";
import { memoryRow } from "./rows/memory.ts";
import { pushRow } from "./rows/push.ts";
import { requestRow, type Work } from "./rows/requests.ts";
import { startRow } from "./rows/start.ts";
import { workersRow } from "./rows/workers.ts";

const BOTH: readonly ContenderName[] = ["heddle", "envoy"];
const THREE: readonly ContenderName[] = ["heddle", "envoy", "haproxy"];

const h1 = (connections: number): Work => ({
  app: "h1",
  program: "load",
  options: ["-protocol", "h1", "-connections", String(connections)],
});
const h2 = (connections: number, streams: number): Work => ({
  app: "h2",
  program: "load",
  options: ["-protocol", "h2", "-connections", String(connections), "-streams", String(streams)],
});
const grpcUnary: Work = { app: "grpc", program: "grpc-client", options: ["-connections", "4", "-streams", "16"] };
const grpcStream: Work = { ...grpcUnary, options: [...grpcUnary.options, "-ping-pong"] };

function cpu(work: string, target: Target, haproxy?: Target): Comparison {
  return { work, figure: "cpu", ratio: "theirs/ours", target, ...(haproxy === undefined ? {} : { haproxy }) };
}

const saturatedP99 = (work: string): Comparison => ({
  work: `p99 at saturation, ${work}`,
  figure: "p99",
  ratio: "ours/theirs",
  target: { most: 1 },
});

const HEADERS = "15 fields, 1 KB, unique path, x-request-id and traceparent";

export const rows: readonly Row[] = [
  requestRow({
    name: "h1",
    title: `HTTP/1.1 keep-alive, 32 connections, ${HEADERS}`,
    contenders: ["heddle", "envoy", "haproxy", "nginx", "node"],
    work: h1(32),
    comparisons: [cpu("HTTP/1.1 keep-alive, small body, 32 connections", { least: 1.8 }, { least: 0.85 })],
  }),
  requestRow({
    name: "h2c",
    title: `HTTP/2 without TLS, 4 connections with 16 streams, ${HEADERS}`,
    contenders: ["heddle", "envoy", "haproxy", "node"],
    work: h2(4, 16),
    comparisons: [
      cpu("h2c, 4 connections x 16 streams, realistic headers", { least: 2.5, stretch: 3.5 }, { least: 1 }),
    ],
  }),
  requestRow({
    name: "h2c-32",
    title: `HTTP/2 without TLS, 32 connections with 1 stream, ${HEADERS}`,
    contenders: THREE,
    work: h2(32, 1),
    comparisons: [cpu("h2c, 32 connections x 1 stream", { least: 2 }, { least: 0.9 })],
  }),
  requestRow({
    name: "grpc",
    title: "gRPC unary, grpc-go at both ends, 4 connections with 16 calls, 64 bytes",
    contenders: THREE,
    work: grpcUnary,
    comparisons: [cpu("gRPC unary", { least: 3 }, { least: 1 })],
  }),
  requestRow({
    name: "grpc-stream",
    title: "gRPC bidirectional ping-pong, grpc-go at both ends, 4 connections with 16 streams, messages of 64 bytes",
    contenders: THREE,
    work: grpcStream,
    comparisons: [cpu("gRPC bidirectional ping-pong, per message", { least: 1.4 }, { least: 1 })],
    notes: ["A request here is one message there and back."],
  }),
  requestRow({
    name: "mesh-h1",
    title: "Mesh path: HTTP/1.1, 32 connections -> proxy = mutual TLS, h2 => proxy -> HTTP/1.1",
    contenders: BOTH,
    work: { ...h1(32), hops: 2, mode: "strict" },
    comparisons: [
      cpu("mesh path, HTTP/1.1 at both ends", { least: 1.8 }),
      { work: "mesh path, HTTP/1.1: rate", figure: "rate", ratio: "ours/theirs", target: { least: 1.8 } },
      saturatedP99("mesh path in HTTP/1.1"),
    ],
  }),
  requestRow({
    name: "mesh-h2",
    title: "Mesh path in h2: 4 connections with 16 streams, both sidecars on one core",
    contenders: BOTH,
    work: { ...h2(4, 16), hops: 2, mode: "strict" },
    comparisons: [cpu("mesh path in h2", { least: 3, stretch: 4 }), saturatedP99("mesh path in h2")],
  }),
  requestRow({
    name: "mesh-h2-permissive",
    title: "Mesh path in h2 into a PERMISSIVE port: the ClientHello is looked at first",
    contenders: BOTH,
    work: { ...h2(4, 16), hops: 2, mode: "permissive" },
    comparisons: [cpu("mesh path in h2, PERMISSIVE port", { least: 3, stretch: 4 })],
  }),
  requestRow({
    name: "mesh-grpc",
    title: "Mesh path in gRPC unary, grpc-go at both ends, 4 connections with 16 calls",
    contenders: BOTH,
    work: { ...grpcUnary, hops: 2, mode: "strict" },
    comparisons: [cpu("mesh path in gRPC", { least: 3, stretch: 4 })],
  }),
  fixedRateRow({
    name: "rate-h1",
    title: "HTTP/1.1, one proxy, 32 connections",
    contenders: THREE,
    work: h1(32),
    rate: 12_000,
  }),
  fixedRateRow({
    name: "rate-h2",
    title: "h2c, one proxy, 32 connections",
    contenders: THREE,
    work: h2(32, 4),
    rate: 12_000,
  }),
  fixedRateRow({
    name: "rate-mesh-h1",
    title: "HTTP/1.1, mesh path, 32 connections",
    contenders: BOTH,
    work: { ...h1(32), hops: 2, mode: "strict" },
    rate: 6000,
  }),
  fixedRateRow({
    name: "rate-mesh-h2",
    title: "h2, mesh path, 32 connections",
    contenders: BOTH,
    work: { ...h2(32, 4), hops: 2, mode: "strict" },
    rate: 6000,
  }),
  bulkRow({ name: "bulk-h1", title: "Large bodies in HTTP/1.1, plain", protocol: "h1", target: 1 }),
  bulkRow({ name: "bulk-h2", title: "Large bodies in h2, plain", protocol: "h2", target: 1 }),
  bulkRow({
    name: "bulk-mtls-h1",
    title: "Large bodies in HTTP/1.1 over the mesh path (mTLS)",
    protocol: "h1",
    target: 0.9,
    overMesh: true,
  }),
  bulkRow({
    name: "bulk-mtls-h2",
    title: "Large bodies in h2 over the mesh path (mTLS)",
    protocol: "h2",
    target: 0.9,
    overMesh: true,
  }),
  handshakeRow({ name: "tls-full", mode: "strict", isResumed: false, target: 0.55 }),
  handshakeRow({ name: "tls-resumed", mode: "strict", isResumed: true, target: 0.75 }),
  handshakeRow({ name: "tls-full-permissive", mode: "permissive", isResumed: false, target: 0.55 }),
  handshakeRow({ name: "tls-resumed-permissive", mode: "permissive", isResumed: true, target: 0.75 }),
  tcpRow(1),
  fairnessRow,
  memoryRow,
  startRow,
  pushRow,
  workersRow,
];
