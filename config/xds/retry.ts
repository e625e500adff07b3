// RetryPolicy, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Labels, RateLimitedBackoff, RetryPolicy } from "../model/route.ts";
import { pack, unpack } from "./any.ts";
import { fromMs, toMs, toMsOr } from "./duration.ts";
import { durationUnless, given, unless } from "./fields.ts";
import {
  RetryPolicySchema,
  RetryPolicy_RetryHostPredicateSchema as RetryHostPredicateSchema,
  RetryPolicy_RateLimitedRetryBackOffSchema as RateLimitedRetryBackOffSchema,
  RetryPolicy_ResetHeaderFormat as ResetFormat,
  type RetryPolicy as WireRetryPolicy,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import {
  OmitHostMetadataConfigSchema,
  type OmitHostMetadataConfig,
} from "./gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.ts";
import { PreviousHostsPredicateSchema } from "./gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import type { Scope } from "./issues.ts";
import { LB_KEY } from "./metadata-keys.ts";
import { labelsFromWire, metadataToWire } from "./metadata.ts";
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
  const hosts = hostPredicates(wire, scope.field("retry_host_predicate"));
  return {
    retryOn,
    numRetries: wire.numRetries ?? 1,
    perTryTimeoutMs: toMsOr(wire.perTryTimeout, 0),
    perTryIdleTimeoutMs: toMsOr(wire.perTryIdleTimeout, 0),
    retriableStatusCodes: wire.retriableStatusCodes,
    retriableHeaders: wire.retriableHeaders.map((item, index) =>
      headerMatcherFromWire(item, scope.field("retriable_headers").at(index)),
    ),
    retriableRequestHeaders: wire.retriableRequestHeaders.map((item, index) =>
      headerMatcherFromWire(item, scope.field("retriable_request_headers").at(index)),
    ),
    backoff: { baseMs, maxMs },
    ...hosts,
    hostSelectionAttempts: Math.max(1, Number(wire.hostSelectionRetryMaxAttempts)),
    rateLimitedBackoff: rateLimitedFromWire(wire.rateLimitedRetryBackOff),
  };
}

function hostPredicates(wire: WireRetryPolicy, scope: Scope): Pick<RetryPolicy, "avoidPreviousHosts" | "omitHosts"> {
  let avoidPreviousHosts = false;
  const omitHosts: Labels[] = [];
  for (const [index, predicate] of wire.retryHostPredicate.entries()) {
    const at = scope.at(index).field("typed_config");
    const known = [PreviousHostsPredicateSchema, OmitHostMetadataConfigSchema];
    const message = unpack(predicate.configType.value, known, at, predicate.name);
    if (message === undefined) continue;
    if (message.$typeName === PreviousHostsPredicateSchema.typeName) avoidPreviousHosts = true;
    else {
      // as: one of the two
      const { metadataMatch } = message as OmitHostMetadataConfig;
      omitHosts.push(labelsFromWire(metadataMatch, LB_KEY, at.field("metadata_match")));
    }
  }
  return { avoidPreviousHosts, omitHosts };
}

/** Envoy: intervals above five minutes do not count. */
const MAX_RESET_MS = 300_000;

function rateLimitedFromWire(wire: WireRetryPolicy["rateLimitedRetryBackOff"]): RateLimitedBackoff | undefined {
  return (
    wire && {
      resetHeaders: wire.resetHeaders.map(({ name, format }) => ({
        name: name.toLowerCase(),
        format: format === ResetFormat.UNIX_TIMESTAMP ? "unixTimestamp" : "seconds",
      })),
      maxMs: toMsOr(wire.maxInterval, MAX_RESET_MS),
    }
  );
}

function rateLimitedToWire(model: RateLimitedBackoff): MessageInitShape<typeof RateLimitedRetryBackOffSchema> {
  return {
    resetHeaders: model.resetHeaders.map(({ name, format }) => ({
      name,
      format: format === "unixTimestamp" ? ResetFormat.UNIX_TIMESTAMP : ResetFormat.SECONDS,
    })),
    ...durationUnless("maxInterval", model.maxMs, MAX_RESET_MS),
  };
}

export function retryToWire(model: RetryPolicy): WireRetryPolicy {
  const { baseMs, maxMs } = model.backoff;
  const isDefault = baseMs === BASE_BACKOFF_MS && maxMs === baseMs * BACKOFF_CAP;
  return create(RetryPolicySchema, {
    retryOn: model.retryOn.join(","),
    ...unless("numRetries", model.numRetries, 1),
    ...durationUnless("perTryTimeout", model.perTryTimeoutMs, 0),
    ...durationUnless("perTryIdleTimeout", model.perTryIdleTimeoutMs, 0),
    retriableStatusCodes: [...model.retriableStatusCodes],
    retriableHeaders: model.retriableHeaders.map(headerMatcherToWire),
    retriableRequestHeaders: model.retriableRequestHeaders.map(headerMatcherToWire),
    ...given("rateLimitedRetryBackOff", model.rateLimitedBackoff && rateLimitedToWire(model.rateLimitedBackoff)),
    ...(isDefault ? {} : { retryBackOff: { baseInterval: fromMs(baseMs), maxInterval: fromMs(maxMs) } }),
    retryHostPredicate: predicatesToWire(model),
    ...(model.hostSelectionAttempts === 1
      ? {}
      : { hostSelectionRetryMaxAttempts: BigInt(model.hostSelectionAttempts) }),
  });
}

function predicatesToWire(model: RetryPolicy): MessageInitShape<typeof RetryHostPredicateSchema>[] {
  const predicates = model.omitHosts.map((labels) => ({
    name: "envoy.retry_host_predicates.omit_host_metadata",
    configType: {
      case: "typedConfig" as const,
      value: pack(
        OmitHostMetadataConfigSchema,
        create(OmitHostMetadataConfigSchema, { ...given("metadataMatch", metadataToWire({ [LB_KEY]: labels })) }),
      ),
    },
  }));
  if (!model.avoidPreviousHosts) return predicates;
  const value = pack(PreviousHostsPredicateSchema, create(PreviousHostsPredicateSchema));
  return [
    { name: "envoy.retry_host_predicates.previous_hosts", configType: { case: "typedConfig", value } },
    ...predicates,
  ];
}
