// How many connections a filter chain may have and how fast a listener takes them, messages <-> model.
import { create } from "@bufbuild/protobuf";
import type { ConnectionLimit, ConnectionRate } from "../model/listener.ts";
import { fromMs, toMsOr } from "./duration.ts";
import {
  LocalRateLimitSchema,
  type LocalRateLimit,
} from "./gen/envoy/extensions/filters/listener/local_ratelimit/v3/local_ratelimit_pb.ts";
import {
  ConnectionLimitSchema,
  type ConnectionLimit as WireLimit,
} from "./gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts";
import { TokenBucketSchema } from "./gen/envoy/type/v3/token_bucket_pb.ts";
import type { Scope } from "./issues.ts";

const MAX_CONNECTIONS = 2 ** 31 - 1;
const MAX_TOKENS = 2 ** 24;

export function connectionLimitFromWire(wire: WireLimit, scope: Scope): ConnectionLimit {
  const maxConnections = Number(wire.maxConnections ?? 0n);
  // That it is at least 1 is a rule of the message, for whoever sets it.
  if (wire.maxConnections === undefined || maxConnections > MAX_CONNECTIONS)
    scope.field("max_connections").invalid(`must be 1 to ${MAX_CONNECTIONS}: got ${wire.maxConnections ?? "nothing"}`);
  return { maxConnections, delayMs: toMsOr(wire.delay, 0) };
}

export function connectionLimitToWire(model: ConnectionLimit): WireLimit {
  return create(ConnectionLimitSchema, {
    statPrefix: "connection_limit",
    maxConnections: BigInt(model.maxConnections),
    ...(model.delayMs === 0 ? {} : { delay: fromMs(model.delayMs) }),
  });
}

/** Undefined where the bucket is none: the rules of its message say why, and here what is beyond them. */
export function connectionRateFromWire(wire: LocalRateLimit, scope: Scope): ConnectionRate | undefined {
  const bucket = wire.tokenBucket;
  const at = scope.field("token_bucket");
  const rate = {
    maxTokens: bucket?.maxTokens ?? 0,
    tokensPerFill: bucket?.tokensPerFill ?? 1,
    fillIntervalMs: toMsOr(bucket?.fillInterval, 0),
  };
  if (rate.maxTokens > MAX_TOKENS)
    at.field("max_tokens").invalid(`must be at most ${MAX_TOKENS}: got ${rate.maxTokens}`);
  const isBucket = rate.maxTokens >= 1 && rate.tokensPerFill >= 1 && rate.fillIntervalMs > 0;
  return isBucket ? rate : undefined;
}

export function connectionRateToWire(model: ConnectionRate): LocalRateLimit {
  const { maxTokens, tokensPerFill, fillIntervalMs } = model;
  return create(LocalRateLimitSchema, {
    statPrefix: "connection_rate",
    tokenBucket: create(TokenBucketSchema, { maxTokens, tokensPerFill, fillInterval: fromMs(fillIntervalMs) }),
  });
}
