// How a cluster chooses an endpoint, message <-> model: Envoy's older field per policy and its newer list of extensions.
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Cluster, LbPolicy } from "../model/cluster.ts";
import { pack, readTypedJson, unpack, writeTypedJson } from "./any.ts";
import { fromMs, toMs } from "./duration.ts";
import { given, unless } from "./fields.ts";
import {
  Cluster_LbPolicy as Policy,
  Cluster_RingHashLbConfig_HashFunction,
  type Cluster as WireCluster,
  type Cluster_SlowStartConfig,
  type ClusterSchema,
  type LoadBalancingPolicy,
} from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClientSideWeightedRoundRobinSchema } from "./gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin_pb.ts";
import { ClusterProvidedSchema } from "./gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided_pb.ts";
import type {
  LocalityLbConfig,
  SlowStartConfig,
} from "./gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.ts";
import {
  LeastRequest_SelectionMethod,
  LeastRequestSchema,
} from "./gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.ts";
import { MaglevSchema } from "./gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.ts";
import { RandomSchema } from "./gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.ts";
import {
  RingHash_HashFunction,
  RingHashSchema,
} from "./gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.ts";
import { RoundRobinSchema } from "./gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.ts";
import { WrrLocalitySchema } from "./gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.ts";
import { loadFromWire, loadToWire } from "./lb-by-load.ts";
import { hashingFromWire, maglevFromWire, refuseMurmur, ringHashFromWire } from "./lb-hashing.ts";
import { EncodeError, type Scope } from "./issues.ts";

/** Heddle's own policy, in the list before one that Envoy knows: Envoy takes the first that it has. */
const PEAK_EWMA_TYPE_URL = "type.googleapis.com/heddle.lb.v1.PeakEwma";
const ORIGINAL_ENDPOINT_TYPE_URL = "type.googleapis.com/heddle.lb.v1.OriginalEndpoint";

/** Envoy's defaults (expectations.md) and, for the EWMA, Linkerd's. */
const CHOICE_COUNT = 2;
const ACTIVE_REQUEST_BIAS = 1;
const AGGRESSION = 1;
const MIN_WEIGHT_PERCENT = 10;
const DECAY_MS = 10_000;
const INITIAL_RTT_MS = 30;

type SlowStart = Cluster["slowStart"];

interface Balancing {
  readonly lb: LbPolicy;
  readonly slowStart: SlowStart;
  readonly weighsLocalities?: boolean;
}

/** What stands in a cluster that is refused anyway. */
const UNKNOWN: Balancing = { lb: { kind: "roundRobin" }, slowStart: undefined };

export function balancingFromWire(wire: WireCluster, scope: Scope): Balancing {
  const common = wire.commonLbConfig?.localityConfigSpecifier.case === "localityWeightedLbConfig";
  const own =
    wire.loadBalancingPolicy === undefined
      ? fromFields(wire, scope)
      : fromPolicies(wire.loadBalancingPolicy, scope.field("load_balancing_policy"));
  return common ? { ...own, weighsLocalities: true } : own;
}

function fromFields(wire: WireCluster, scope: Scope): Balancing {
  const { lbConfig } = wire;
  const hashing = hashingFromWire(wire.commonLbConfig?.consistentHashingLbConfig);
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
      const at = scope.field("ring_hash_lb_config");
      if (own?.hashFunction === Cluster_RingHashLbConfig_HashFunction.MURMUR_HASH_2) refuseMurmur(at);
      return { lb: ringHashFromWire(own?.minimumRingSize, own?.maximumRingSize, hashing, at), slowStart: undefined };
    }
    case Policy.RANDOM:
      expect("RANDOM", false);
      return { lb: { kind: "random" }, slowStart: undefined };
    case Policy.MAGLEV: {
      expect("MAGLEV", field === "maglevLbConfig");
      const own = lbConfig.case === "maglevLbConfig" ? lbConfig.value : undefined;
      return { lb: maglevFromWire(own?.tableSize, hashing, scope.field("maglev_lb_config")), slowStart: undefined };
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
  ClientSideWeightedRoundRobinSchema,
  WrrLocalitySchema,
  ClusterProvidedSchema,
] as const;

function fromExtension(wire: LoadBalancingPolicy, index: number, scope: Scope): Balancing {
  const config = wire.policies[index]?.typedExtensionConfig;
  const at = scope.field("policies").at(index).field("typed_extension_config").field("typed_config");
  const message = unpack(config?.typedConfig, SCHEMAS, at, config?.name ?? "");
  switch (message?.$typeName) {
    case undefined:
      return UNKNOWN;
    case RoundRobinSchema.typeName:
      return {
        lb: { kind: "roundRobin" },
        slowStart: slowStartFromWire(message.slowStartConfig),
        ...localityFromWire(message.localityLbConfig),
      };
    case LeastRequestSchema.typeName: {
      const { choiceCount, activeRequestBias, slowStartConfig, selectionMethod, enableFullScan } = message;
      const { lb, slowStart } = leastRequest(choiceCount, activeRequestBias?.defaultValue, slowStartConfig);
      const isFullScan = selectionMethod === LeastRequest_SelectionMethod.FULL_SCAN || enableFullScan === true;
      return {
        lb: isFullScan && lb.kind === "leastRequest" ? { ...lb, isFullScan } : lb,
        slowStart,
        ...localityFromWire(message.localityLbConfig),
      };
    }
    case RandomSchema.typeName:
      return { lb: { kind: "random" }, slowStart: undefined, ...localityFromWire(message.localityLbConfig) };
    case RingHashSchema.typeName: {
      if (message.hashFunction === RingHash_HashFunction.MURMUR_HASH_2) refuseMurmur(at);
      const { consistentHashingLbConfig, useHostnameForHashing, hashBalanceFactor } = message;
      const hashing = hashingFromWire(consistentHashingLbConfig ?? { useHostnameForHashing, hashBalanceFactor });
      return {
        lb: ringHashFromWire(message.minimumRingSize, message.maximumRingSize, hashing, at),
        slowStart: undefined,
        ...(message.localityWeightedLbConfig === undefined ? {} : { weighsLocalities: true }),
      };
    }
    case MaglevSchema.typeName:
      return {
        lb: maglevFromWire(message.tableSize, hashingFromWire(message.consistentHashingLbConfig), at),
        slowStart: undefined,
        ...(message.localityWeightedLbConfig === undefined ? {} : { weighsLocalities: true }),
      };
    case ClientSideWeightedRoundRobinSchema.typeName:
      return { lb: loadFromWire(message, at), slowStart: slowStartFromWire(message.slowStartConfig) };
    case WrrLocalitySchema.typeName: {
      const picking = at.field("value").field("endpoint_picking_policy");
      return { ...fromPolicies(message.endpointPickingPolicy ?? wire, picking), weighsLocalities: true };
    }
    case ClusterProvidedSchema.typeName:
      return { lb: { kind: "originalDst" }, slowStart: undefined };
  }
}

function localityFromWire(wire: LocalityLbConfig | undefined): Pick<Balancing, "weighsLocalities"> {
  const isWeighted = wire?.localityConfigSpecifier.case === "localityWeightedLbConfig";
  return isWeighted ? { weighsLocalities: true } : {};
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
  if (slowStart !== undefined && !SLOW_STARTERS.has(lb.kind)) {
    throw new EncodeError(
      `cluster "${model.name}"`,
      `slow start needs round robin, least request, peak EWMA or weights by load: got ${lb.kind}`,
    );
  }
  const slowStartConfig = slowStart && { slowStartConfig: slowStartToWire(slowStart) };
  switch (lb.kind) {
    case "roundRobin":
      return slowStartConfig === undefined ? {} : { lbConfig: { case: "roundRobinLbConfig", value: slowStartConfig } };
    case "leastRequest":
      if (lb.isFullScan === true) {
        const { choiceCount, activeRequestBias } = leastRequestToWire(lb);
        const selectionMethod = LeastRequest_SelectionMethod.FULL_SCAN;
        const init = { ...given("choiceCount", choiceCount), ...given("activeRequestBias", activeRequestBias) };
        return oneExtension(
          extension("envoy.load_balancing_policies.least_request", LeastRequestSchema, {
            ...init,
            selectionMethod,
            ...slowStartConfig,
          }),
        );
      }
      return {
        lbPolicy: Policy.LEAST_REQUEST,
        lbConfig: {
          case: "leastRequestLbConfig",
          value: {
            ...leastRequestToWire(lb),
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
    case "weightedByLoad": {
      const own = extension(
        "envoy.load_balancing_policies.client_side_weighted_round_robin",
        ClientSideWeightedRoundRobinSchema,
        { ...loadToWire(lb), ...slowStartConfig },
      );
      if (model.weighsLocalities !== true) return oneExtension(own);
      // Beside a list of policies Envoy does not look at what common_lb_config says of localities.
      const endpointPickingPolicy = { policies: [{ typedExtensionConfig: own }] };
      return oneExtension(
        extension("envoy.load_balancing_policies.wrr_locality", WrrLocalitySchema, { endpointPickingPolicy }),
      );
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

const SLOW_STARTERS: ReadonlySet<LbPolicy["kind"]> = new Set([
  "roundRobin",
  "leastRequest",
  "peakEwma",
  "weightedByLoad",
]);

/** What `common_lb_config` says of balancing. */
export function commonBalancingToWire(model: Cluster) {
  const { lb } = model;
  const hashing = lb.kind === "ringHash" || lb.kind === "maglev" ? lb.hashing : undefined;
  return {
    ...(model.weighsLocalities === true
      ? { localityConfigSpecifier: { case: "localityWeightedLbConfig", value: {} } as const }
      : {}),
    ...given(
      "consistentHashingLbConfig",
      hashing && {
        useHostnameForHashing: hashing.useHostname,
        ...(hashing.balanceFactor === 0 ? {} : { hashBalanceFactor: hashing.balanceFactor }),
      },
    ),
  };
}

function leastRequestToWire(lb: Extract<LbPolicy, { kind: "leastRequest" }>) {
  return {
    ...unless("choiceCount", lb.choiceCount, CHOICE_COUNT),
    ...(lb.activeRequestBias === ACTIVE_REQUEST_BIAS
      ? {}
      : { activeRequestBias: { defaultValue: lb.activeRequestBias, runtimeKey: "heddle.active_request_bias" } }),
  };
}

function oneExtension(typedExtensionConfig: ReturnType<typeof extension>): BalancingInit {
  return { loadBalancingPolicy: { policies: [{ typedExtensionConfig }] } };
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
