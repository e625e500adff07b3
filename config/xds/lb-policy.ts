// How a cluster chooses an endpoint, message <-> model: Envoy's older field per policy and its newer list of extensions.
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Cluster, LbPolicy } from "../model/cluster.ts";
import { pack, readTypedJson, unpack, writeTypedJson } from "./any.ts";
import { fromMs, toMs } from "./duration.ts";
import { unless } from "./fields.ts";
import {
  Cluster_LbPolicy as Policy,
  type Cluster as WireCluster,
  type Cluster_SlowStartConfig,
  type ClusterSchema,
  type LoadBalancingPolicy,
} from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterProvidedSchema } from "./gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided_pb.ts";
import type { SlowStartConfig } from "./gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.ts";
import { LeastRequestSchema } from "./gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.ts";
import { MaglevSchema } from "./gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.ts";
import { RandomSchema } from "./gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.ts";
import { RingHashSchema } from "./gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.ts";
import { RoundRobinSchema } from "./gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.ts";
import { EncodeError, type Scope } from "./issues.ts";

/** Heddle's own policy, in the list before one that Envoy knows: Envoy takes the first that it has. */
const PEAK_EWMA_TYPE_URL = "type.googleapis.com/heddle.lb.v1.PeakEwma";
const ORIGINAL_ENDPOINT_TYPE_URL = "type.googleapis.com/heddle.lb.v1.OriginalEndpoint";

/** Envoy's defaults (expectations.md) and, for the EWMA, Linkerd's. */
const CHOICE_COUNT = 2;
const ACTIVE_REQUEST_BIAS = 1;
const MIN_RING = 1024;
const MAX_RING = 8 * 1024 * 1024;
const MAGLEV_TABLE = 65_537;
const AGGRESSION = 1;
const MIN_WEIGHT_PERCENT = 10;
const DECAY_MS = 10_000;
const INITIAL_RTT_MS = 30;

type SlowStart = Cluster["slowStart"];

interface Balancing {
  readonly lb: LbPolicy;
  readonly slowStart: SlowStart;
}

/** What stands in a cluster that is refused anyway. */
const UNKNOWN: Balancing = { lb: { kind: "roundRobin" }, slowStart: undefined };

export function balancingFromWire(wire: WireCluster, scope: Scope): Balancing {
  if (wire.loadBalancingPolicy !== undefined)
    return fromPolicies(wire.loadBalancingPolicy, scope.field("load_balancing_policy"));
  const { lbConfig } = wire;
  const field = lbConfig.case;
  const expect = (name: string, matches: boolean): void => {
    if (field !== undefined && !matches)
      scope.field("lb_policy").invalid(`${name} does not go with the lb_config that is set`);
  };
  switch (wire.lbPolicy) {
    case Policy.ROUND_ROBIN:
      expect("ROUND_ROBIN", field === "roundRobinLbConfig");
      return {
        lb: { kind: "roundRobin" },
        slowStart: slowStartFromWire(
          lbConfig.case === "roundRobinLbConfig" ? lbConfig.value.slowStartConfig : undefined,
        ),
      };
    case Policy.LEAST_REQUEST: {
      expect("LEAST_REQUEST", field === "leastRequestLbConfig");
      const own = lbConfig.case === "leastRequestLbConfig" ? lbConfig.value : undefined;
      return leastRequest(own?.choiceCount, own?.activeRequestBias?.defaultValue, own?.slowStartConfig);
    }
    case Policy.RING_HASH: {
      expect("RING_HASH", field === "ringHashLbConfig");
      const own = lbConfig.case === "ringHashLbConfig" ? lbConfig.value : undefined;
      return {
        lb: ringHash(own?.minimumRingSize, own?.maximumRingSize, scope.field("ring_hash_lb_config")),
        slowStart: undefined,
      };
    }
    case Policy.RANDOM:
      expect("RANDOM", false);
      return { lb: { kind: "random" }, slowStart: undefined };
    case Policy.MAGLEV: {
      expect("MAGLEV", field === "maglevLbConfig");
      const own = lbConfig.case === "maglevLbConfig" ? lbConfig.value : undefined;
      return { lb: { kind: "maglev", tableSize: Number(own?.tableSize ?? MAGLEV_TABLE) }, slowStart: undefined };
    }
    case Policy.CLUSTER_PROVIDED:
      expect("CLUSTER_PROVIDED", false);
      return { lb: { kind: "originalDst" }, slowStart: undefined };
    case Policy.LOAD_BALANCING_POLICY_CONFIG:
      scope.field("load_balancing_policy").invalid("must be set with lb_policy LOAD_BALANCING_POLICY_CONFIG");
      return UNKNOWN;
    default:
      // A number that is no policy was reported already (Envoy's enums are open on the wire).
      return UNKNOWN;
  }
}

/** The first policy of the list that we know, as in Envoy. */
function fromPolicies(wire: LoadBalancingPolicy, scope: Scope): Balancing {
  const names: string[] = [];
  for (const [index, policy] of wire.policies.entries()) {
    const any = policy.typedExtensionConfig?.typedConfig;
    if (any === undefined) continue;
    const at = scope.field("policies").at(index).field("typed_extension_config").field("typed_config");
    const typed = readTypedJson(any, at);
    if (typed?.typeUrl === PEAK_EWMA_TYPE_URL) return peakEwmaFromJson(typed.config, wire, at);
    if (typed?.typeUrl === ORIGINAL_ENDPOINT_TYPE_URL)
      return { lb: { kind: "originalEndpoint" }, slowStart: undefined };
    const schema = SCHEMAS.find((candidate) => any.typeUrl.endsWith(`/${candidate.typeName}`));
    if (schema !== undefined) return fromExtension(wire, index, scope);
    names.push(typed?.typeUrl ?? any.typeUrl);
  }
  scope.unsupported(`Didn't find a registered load balancer factory implementation for any of: ${names.join(", ")}`);
  return UNKNOWN;
}

const SCHEMAS = [
  RoundRobinSchema,
  LeastRequestSchema,
  RandomSchema,
  RingHashSchema,
  MaglevSchema,
  ClusterProvidedSchema,
] as const;

function fromExtension(wire: LoadBalancingPolicy, index: number, scope: Scope): Balancing {
  const config = wire.policies[index]?.typedExtensionConfig;
  const at = scope.field("policies").at(index).field("typed_extension_config").field("typed_config");
  const message = unpack(config?.typedConfig, SCHEMAS, at, config?.name ?? "");
  switch (message?.$typeName) {
    case undefined:
    case RoundRobinSchema.typeName:
      return { lb: { kind: "roundRobin" }, slowStart: slowStartFromWire(message?.slowStartConfig) };
    case LeastRequestSchema.typeName:
      return leastRequest(message.choiceCount, message.activeRequestBias?.defaultValue, message.slowStartConfig);
    case RandomSchema.typeName:
      return { lb: { kind: "random" }, slowStart: undefined };
    case RingHashSchema.typeName:
      return { lb: ringHash(message.minimumRingSize, message.maximumRingSize, at), slowStart: undefined };
    case MaglevSchema.typeName:
      return { lb: { kind: "maglev", tableSize: Number(message.tableSize ?? MAGLEV_TABLE) }, slowStart: undefined };
    case ClusterProvidedSchema.typeName:
      return { lb: { kind: "originalDst" }, slowStart: undefined };
  }
}

/** The slow start of our own policy rides on the fallback beside it, where Envoy reads it too. */
function peakEwmaFromJson(json: unknown, wire: LoadBalancingPolicy, scope: Scope): Balancing {
  const config = (json ?? {}) as { readonly decayMs?: unknown; readonly initialRttMs?: unknown };
  const number = (name: string, value: unknown, fallback: number): number => {
    if (value === undefined) return fallback;
    if (typeof value === "number" && value > 0) return value;
    scope
      .field("value")
      .field(name)
      .invalid(`must be a number greater than 0: got ${JSON.stringify(value)}`);
    return fallback;
  };
  const fallback = wire.policies.findIndex((policy) =>
    policy.typedExtensionConfig?.typedConfig?.typeUrl.endsWith(LeastRequestSchema.typeName),
  );
  return {
    lb: {
      kind: "peakEwma",
      decayMs: number("decayMs", config.decayMs, DECAY_MS),
      initialRttMs: number("initialRttMs", config.initialRttMs, INITIAL_RTT_MS),
    },
    slowStart: fallback < 0 ? undefined : fromExtension(wire, fallback, scope).slowStart,
  };
}

function leastRequest(
  choiceCount: number | undefined,
  bias: number | undefined,
  slowStart: Cluster_SlowStartConfig | SlowStartConfig | undefined,
): Balancing {
  return {
    lb: {
      kind: "leastRequest",
      choiceCount: choiceCount ?? CHOICE_COUNT,
      activeRequestBias: bias ?? ACTIVE_REQUEST_BIAS,
    },
    slowStart: slowStartFromWire(slowStart),
  };
}

function ringHash(min: bigint | undefined, max: bigint | undefined, scope: Scope): LbPolicy {
  const minimumRingSize = Number(min ?? MIN_RING);
  const maximumRingSize = Number(max ?? MAX_RING);
  if (minimumRingSize > maximumRingSize) {
    scope.invalid(
      `minimum_ring_size (${minimumRingSize}) must not be greater than maximum_ring_size (${maximumRingSize})`,
    );
  }
  return { kind: "ringHash", minimumRingSize, maximumRingSize };
}

function slowStartFromWire(wire: Cluster_SlowStartConfig | SlowStartConfig | undefined): SlowStart {
  if (wire?.slowStartWindow === undefined) return undefined;
  return {
    windowMs: toMs(wire.slowStartWindow),
    aggression: wire.aggression?.defaultValue ?? AGGRESSION,
    minWeightPercent: wire.minWeightPercent?.value ?? MIN_WEIGHT_PERCENT,
  };
}

type BalancingInit = Pick<MessageInitShape<typeof ClusterSchema>, "lbPolicy" | "lbConfig" | "loadBalancingPolicy">;

export function balancingToWire(model: Cluster): BalancingInit {
  const { lb, slowStart } = model;
  const canStartSlowly = lb.kind === "roundRobin" || lb.kind === "leastRequest" || lb.kind === "peakEwma";
  if (slowStart !== undefined && !canStartSlowly) {
    throw new EncodeError(
      `cluster "${model.name}"`,
      `slow start needs round robin, least request or peak EWMA: got ${lb.kind}`,
    );
  }
  const slowStartConfig = slowStart && { slowStartConfig: slowStartToWire(slowStart) };
  switch (lb.kind) {
    case "roundRobin":
      return slowStartConfig === undefined ? {} : { lbConfig: { case: "roundRobinLbConfig", value: slowStartConfig } };
    case "leastRequest":
      return {
        lbPolicy: Policy.LEAST_REQUEST,
        lbConfig: {
          case: "leastRequestLbConfig",
          value: {
            ...unless("choiceCount", lb.choiceCount, CHOICE_COUNT),
            ...(lb.activeRequestBias === ACTIVE_REQUEST_BIAS
              ? {}
              : {
                  activeRequestBias: { defaultValue: lb.activeRequestBias, runtimeKey: "heddle.active_request_bias" },
                }),
            ...slowStartConfig,
          },
        },
      };
    case "random":
      return { lbPolicy: Policy.RANDOM };
    case "ringHash": {
      const sizes = { minimumRingSize: BigInt(lb.minimumRingSize), maximumRingSize: BigInt(lb.maximumRingSize) };
      return { lbPolicy: Policy.RING_HASH, lbConfig: { case: "ringHashLbConfig", value: sizes } };
    }
    case "maglev":
      return {
        lbPolicy: Policy.MAGLEV,
        lbConfig: { case: "maglevLbConfig", value: { tableSize: BigInt(lb.tableSize) } },
      };
    case "originalDst":
      return { lbPolicy: Policy.CLUSTER_PROVIDED };
    case "originalEndpoint": {
      const typedConfig = writeTypedJson({ typeUrl: ORIGINAL_ENDPOINT_TYPE_URL, config: {} });
      const own = { name: "heddle.lb.original_endpoint", typedConfig };
      return { loadBalancingPolicy: { policies: [{ typedExtensionConfig: own }] } };
    }
    case "peakEwma": {
      const config = { decayMs: lb.decayMs, initialRttMs: lb.initialRttMs };
      const own = { name: "heddle.lb.peak_ewma", typedConfig: writeTypedJson({ typeUrl: PEAK_EWMA_TYPE_URL, config }) };
      const fallback = extension(
        "envoy.load_balancing_policies.least_request",
        LeastRequestSchema,
        slowStartConfig ?? {},
      );
      return { loadBalancingPolicy: { policies: [{ typedExtensionConfig: own }, { typedExtensionConfig: fallback }] } };
    }
  }
}

function extension<Desc extends DescMessage>(name: string, schema: Desc, init: MessageInitShape<Desc>) {
  return { name, typedConfig: pack(schema, create(schema, init)) };
}

function slowStartToWire(model: NonNullable<SlowStart>) {
  return {
    slowStartWindow: fromMs(model.windowMs),
    ...(model.aggression === AGGRESSION
      ? {}
      : { aggression: { defaultValue: model.aggression, runtimeKey: "heddle.slow_start_aggression" } }),
    ...(model.minWeightPercent === MIN_WEIGHT_PERCENT ? {} : { minWeightPercent: { value: model.minWeightPercent } }),
  };
}
