// RetryPolicy, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { RetryPolicy } from "../model/route.ts";
import { pack, unpack } from "./any.ts";
import { fromMs, toMs, toMsOr } from "./duration.ts";
import { durationUnless, unless } from "./fields.ts";
import {
  RetryPolicySchema,
  type RetryPolicy as WireRetryPolicy,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { PreviousHostsPredicateSchema } from "./gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import type { Scope } from "./issues.ts";
import { headerMatcherFromWire, headerMatcherToWire } from "./matcher.ts";
import { BACKOFF_CAP, BASE_BACKOFF_MS, RETRY_CONDITIONS, splitConditions } from "./retry-conditions.ts";

export function retryFromWire(wire: WireRetryPolicy | undefined, scope: Scope): RetryPolicy | undefined {
  if (wire === undefined) return undefined;
  const retryOn = splitConditions(wire.retryOn);
  for (const condition of retryOn) {
    if (!RETRY_CONDITIONS.has(condition)) scope.field("retry_on").unsupported(`no condition is called "${condition}"`);
  }
  const backOff = wire.retryBackOff;
  const baseMs = backOff?.baseInterval === undefined ? BASE_BACKOFF_MS : Math.max(1, toMs(backOff.baseInterval));
  const maxMs = toMsOr(backOff?.maxInterval, baseMs * BACKOFF_CAP);
  if (maxMs < baseMs)
    scope.field("retry_back_off").field("max_interval").invalid("must not be less than base_interval");
  return {
    retryOn,
    numRetries: wire.numRetries ?? 1,
    perTryTimeoutMs: toMsOr(wire.perTryTimeout, 0),
    perTryIdleTimeoutMs: toMsOr(wire.perTryIdleTimeout, 0),
    retriableStatusCodes: wire.retriableStatusCodes,
    retriableHeaders: wire.retriableHeaders.map((item, index) =>
      headerMatcherFromWire(item, scope.field("retriable_headers").at(index)),
    ),
    backoff: { baseMs, maxMs },
    avoidPreviousHosts: avoidsPreviousHosts(wire, scope.field("retry_host_predicate")),
    hostSelectionAttempts: Math.max(1, Number(wire.hostSelectionRetryMaxAttempts)),
  };
}

function avoidsPreviousHosts(wire: WireRetryPolicy, scope: Scope): boolean {
  let avoids = false;
  for (const [index, predicate] of wire.retryHostPredicate.entries()) {
    const at = scope.at(index).field("typed_config");
    avoids =
      unpack(predicate.configType.value, [PreviousHostsPredicateSchema], at, predicate.name) !== undefined || avoids;
  }
  return avoids;
}

export function retryToWire(model: RetryPolicy): WireRetryPolicy {
  const { baseMs, maxMs } = model.backoff;
  const isDefault = baseMs === BASE_BACKOFF_MS && maxMs === baseMs * BACKOFF_CAP;
  const previousHosts = pack(PreviousHostsPredicateSchema, create(PreviousHostsPredicateSchema));
  return create(RetryPolicySchema, {
    retryOn: model.retryOn.join(","),
    ...unless("numRetries", model.numRetries, 1),
    ...durationUnless("perTryTimeout", model.perTryTimeoutMs, 0),
    ...durationUnless("perTryIdleTimeout", model.perTryIdleTimeoutMs, 0),
    retriableStatusCodes: [...model.retriableStatusCodes],
    retriableHeaders: model.retriableHeaders.map(headerMatcherToWire),
    ...(isDefault ? {} : { retryBackOff: { baseInterval: fromMs(baseMs), maxInterval: fromMs(maxMs) } }),
    retryHostPredicate: model.avoidPreviousHosts
      ? [
          {
            name: "envoy.retry_host_predicates.previous_hosts",
            configType: { case: "typedConfig", value: previousHosts },
          },
        ]
      : [],
    ...(model.hostSelectionAttempts === 1
      ? {}
      : { hostSelectionRetryMaxAttempts: BigInt(model.hostSelectionAttempts) }),
  });
}
