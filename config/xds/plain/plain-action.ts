// What a route does with a request, in its plain form.
import type {
  ClusterTarget,
  DirectResponseAction,
  ForwardAction,
  Labels,
  RedirectAction,
  RetryPolicy,
  WeightedCluster,
} from "../../model/route.ts";
import { LB_KEY } from "../metadata-keys.ts";
import { NONE, NOT_PLAIN, once, onceBit, type PlainReader } from "./plain-reader.ts";
import { readRetry } from "./plain-retry.ts";
import { MutationsBuilder, NO_MUTATIONS } from "./plain-scope.ts";
import { readLabels } from "./plain-struct.ts";

/** Envoy's: a route that says nothing gives up after 15 s. */
const TIMEOUT_MS = 15_000;
const NOT_FOUND = [503, 404, 500] as const;
const REDIRECTS = [301, 302, 303, 307, 308] as const;
const NO_LABELS: Labels = {};

/** Bits of fields that exclude one another, or have a number above 31. */
const CLUSTER = 1;
const HOST = 1 << 26;
const PATH = 1 << 27;
const STREAM = 1 << 28;

/** envoy.config.route.v3.RouteAction. */
export function readForward(reader: PlainReader, end: number): ForwardAction {
  const stop = reader.stop(end);
  let target: ClusterTarget | undefined;
  let clusterNotFoundStatus: number = 503;
  let timeoutMs: number | undefined;
  let idleTimeoutMs: number | undefined;
  let maxGrpcMs: number | undefined;
  let stream: MaxStream = NO_MAX_STREAM;
  let retry: RetryPolicy | undefined;
  let prefixRewrite: string | undefined;
  let pathRewrite: string | undefined;
  let hostRewrite: string | undefined;
  let autoHostRewrite = false;
  let subset = NO_LABELS;
  let upgrades: ForwardAction["upgrades"][number][] | undefined;
  let priority: ForwardAction["priority"] = "default";
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = onceBit(seen, CLUSTER);
        target = { kind: "cluster", name: reader.someText(stop) };
        break;
      case 0x12:
        seen = onceBit(seen, CLUSTER);
        target = { kind: "header", name: reader.someText(stop).toLowerCase() };
        break;
      case 0x1a:
        seen = onceBit(seen, CLUSTER);
        target = readWeighted(reader, stop);
        break;
      case 0x22:
        seen = once(seen, tag);
        subset = readLabels(reader, stop, LB_KEY);
        break;
      case 0x2a:
        seen = once(seen, tag);
        prefixRewrite = nonEmpty(reader.text(stop));
        break;
      case 0x32:
        seen = onceBit(seen, HOST);
        hostRewrite = reader.text(stop);
        break;
      case 0x3a:
        seen = onceBit(seen, HOST);
        autoHostRewrite = reader.boolValue(stop);
        break;
      case 0x42:
        seen = once(seen, tag);
        timeoutMs = reader.durationMs(stop);
        break;
      case 0x4a:
        seen = once(seen, tag);
        retry = reader.message(reader.retries, stop, readRetry);
        break;
      case 0x58:
        seen = once(seen, tag);
        priority = reader.bool() ? "high" : "default";
        break;
      case 0xa0:
        seen = once(seen, tag);
        clusterNotFoundStatus = oneOf(NOT_FOUND, reader.varint());
        break;
      case 0xba:
        seen = once(seen, tag);
        maxGrpcMs = reader.durationMs(stop);
        break;
      case 0xc2:
        seen = once(seen, tag);
        idleTimeoutMs = reader.durationMs(stop);
        break;
      case 0xca:
        (upgrades ??= []).push(readUpgrade(reader, stop));
        break;
      case 0x122:
        seen = onceBit(seen, STREAM);
        stream = readMaxStream(reader, stop);
        break;
      case 0x16a:
        seen = onceBit(seen, PATH);
        pathRewrite = nonEmpty(reader.text(stop));
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  const hasOperators = pathRewrite?.includes("%") === true;
  if (target === undefined || hasOperators || (prefixRewrite !== undefined && pathRewrite !== undefined))
    throw NOT_PLAIN;
  return {
    kind: "forward",
    target,
    clusterNotFoundStatus,
    timeoutMs: timeoutMs ?? (stream === NO_MAX_STREAM ? TIMEOUT_MS : 0),
    idleTimeoutMs,
    maxGrpcTimeoutMs: stream.grpcMs ?? maxGrpcMs,
    grpcTimeoutOffsetMs: 0,
    maxStreamMs: stream.maxMs,
    hedgeOnPerTryTimeout: undefined,
    retry,
    hashPolicy: NONE,
    prefixRewrite,
    pathRewrite,
    regexRewrite: undefined,
    hostRewrite,
    autoHostRewrite,
    subset,
    mirrors: NONE,
    upgrades: upgrades ?? NONE,
    priority,
  };
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function oneOf(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw NOT_PLAIN;
  return value;
}

interface MaxStream {
  readonly maxMs: number | undefined;
  readonly grpcMs: number | undefined;
}

const NO_MAX_STREAM: MaxStream = { maxMs: undefined, grpcMs: undefined };

/** MaxStreamDuration, without `grpc_timeout_header_offset`. */
function readMaxStream(reader: PlainReader, end: number): MaxStream {
  const stop = reader.stop(end);
  let maxMs: number | undefined;
  let grpcMs: number | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    seen = once(seen, tag);
    if (tag === 0x0a) maxMs = reader.durationMs(stop);
    else if (tag === 0x12) grpcMs = reader.durationMs(stop);
    else throw NOT_PLAIN;
  }
  reader.close(stop);
  return { maxMs, grpcMs };
}

function readUpgrade(reader: PlainReader, end: number): ForwardAction["upgrades"][number] {
  const stop = reader.stop(end);
  if (reader.varint() !== 0x0a) throw NOT_PLAIN;
  const name = reader.someText(stop);
  let enabled = true;
  if (reader.at < stop) {
    if (reader.varint() !== 0x12) throw NOT_PLAIN;
    enabled = reader.boolValue(stop);
  }
  reader.close(stop);
  return { name, enabled };
}

function readWeighted(reader: PlainReader, end: number): ClusterTarget {
  const stop = reader.stop(end);
  const clusters: WeightedCluster[] = [];
  let total = 0;
  while (reader.at < stop) {
    if (reader.varint() !== 0x0a) throw NOT_PLAIN;
    const cluster = readClusterWeight(reader, stop);
    total += cluster.weight;
    clusters.push(cluster);
  }
  reader.close(stop);
  // The limit is a little lower than the whole decoder's: 31 bits.
  if (total === 0 || total > 0x7fff_ffff) throw NOT_PLAIN;
  return { kind: "weighted", clusters };
}

function readClusterWeight(reader: PlainReader, end: number): WeightedCluster {
  const stop = reader.stop(end);
  let name = "";
  let weight = 0;
  let subset = NO_LABELS;
  let hostRewrite: string | undefined;
  let onRequest: MutationsBuilder | undefined;
  let onResponse: MutationsBuilder | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        name = reader.text(stop);
        break;
      case 0x12:
        seen = once(seen, tag);
        weight = reader.numberValue(stop);
        break;
      case 0x1a:
        seen = once(seen, tag);
        subset = readLabels(reader, stop, LB_KEY);
        break;
      case 0x22:
        onRequest = (onRequest ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x4a:
        onRequest = (onRequest ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x2a:
        onResponse = (onResponse ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x32:
        onResponse = (onResponse ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x5a:
        seen = once(seen, tag);
        hostRewrite = reader.text(stop);
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (name === "") throw NOT_PLAIN;
  return {
    name,
    weight,
    subset,
    hostRewrite,
    requestHeaders: onRequest?.build() ?? NO_MUTATIONS,
    responseHeaders: onResponse?.build() ?? NO_MUTATIONS,
    filterOverrides: NONE,
  };
}

/** envoy.config.route.v3.RedirectAction. */
export function readRedirect(reader: PlainReader, end: number): RedirectAction {
  const stop = reader.stop(end);
  let status: number = 301;
  let scheme: string | undefined;
  let host: string | undefined;
  let port: number | undefined;
  let path: RedirectAction["path"];
  let stripQuery = false;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        host = nonEmpty(reader.text(stop));
        break;
      case 0x12:
        seen = onceBit(seen, PATH);
        path = { kind: "full", value: reader.text(stop) };
        break;
      case 0x18:
        seen = once(seen, tag);
        status = oneOf(REDIRECTS, reader.varint());
        break;
      case 0x20:
        seen = onceBit(seen, HOST);
        scheme = reader.bool() ? "https" : undefined;
        break;
      case 0x2a:
        seen = onceBit(seen, PATH);
        path = { kind: "prefix", value: reader.text(stop) };
        break;
      case 0x30:
        seen = once(seen, tag);
        stripQuery = reader.bool();
        break;
      case 0x3a:
        seen = onceBit(seen, HOST);
        scheme = nonEmpty(reader.text(stop));
        break;
      case 0x40:
        seen = once(seen, tag);
        port = reader.varint() || undefined;
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  return { kind: "redirect", status, scheme, host, port, path, stripQuery };
}

/** envoy.config.route.v3.DirectResponseAction, with its body inline. */
export function readDirect(reader: PlainReader, end: number): DirectResponseAction {
  const stop = reader.stop(end);
  let status = 0;
  let body = "";
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    seen = once(seen, tag);
    if (tag === 0x08) {
      status = reader.varint();
    } else if (tag === 0x12) {
      const inner = reader.stop(stop);
      if (reader.varint() !== 0x1a) throw NOT_PLAIN;
      body = reader.text(inner);
      reader.close(inner);
    } else {
      throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (status < 200 || status > 599) throw NOT_PLAIN;
  return { kind: "direct", status, body };
}
