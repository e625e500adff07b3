// A bootstrap from the plain values that were written, with all that is wrong with it; where that stands is for others to say.
import { describeError } from "#lib/errors.ts";
import { formatAddress } from "../model/address.ts";
import type { AdsConfig, Bootstrap, NodeInfo } from "../model/bootstrap.ts";
import type { Listener } from "../model/listener.ts";
import { readJson } from "../protobuf/json.ts";
import { addressFromWire } from "../xds/address.ts";
import { registry } from "../xds/any.ts";
import { checkMessage } from "../xds/check.ts";
import { clusterFromWire } from "../xds/cluster.ts";
import { BootstrapSchema, type Bootstrap as WireBootstrap } from "../xds/gen/envoy/config/bootstrap/v3/bootstrap_pb.ts";
import {
  ApiConfigSource_ApiType as ApiType,
  ApiVersion,
  type ApiConfigSource,
} from "../xds/gen/envoy/config/core/v3/config_source_pb.ts";
import { Scope, type ConfigIssue, type DecodeOptions } from "../xds/issues.ts";
import { listenerFromWire } from "../xds/listener.ts";
import { secretFromWire } from "../xds/secret.ts";
import { readHeddleSettings } from "./heddle-settings.ts";
import { MessageReader } from "./message-reader.ts";
import { checkReferences } from "./references.ts";

export interface DecodedBootstrap {
  /** Undefined when it cannot be read at all; not to be used when there are problems or issues. */
  readonly bootstrap: Bootstrap | undefined;
  /** With the problems of reading. */
  readonly reader: MessageReader;
  /** What is wrong beyond that. */
  readonly issues: readonly ConfigIssue[];
}

export function decodeBootstrap(value: unknown, options: DecodeOptions): DecodedBootstrap {
  const reader = new MessageReader();
  const json = reader.read(BootstrapSchema, value);
  const issues: ConfigIssue[] = [];
  return { bootstrap: bootstrapFromJson(json, Scope.root(options, issues)), reader, issues };
}

function bootstrapFromJson(json: ReturnType<MessageReader["read"]>, scope: Scope): Bootstrap | undefined {
  try {
    const wire = readJson(BootstrapSchema, json, registry) as WireBootstrap; // as: its schema
    checkMessage(BootstrapSchema, wire, scope);
    return bootstrapFromWire(wire, scope);
  } catch (error) {
    scope.invalid(describeError(error));
    return undefined;
  }
}

function bootstrapFromWire(wire: WireBootstrap, scope: Scope): Bootstrap {
  const resources = wire.staticResources;
  const at = scope.field("static_resources");
  const metadata = wire.node?.metadata ?? {};
  const bootstrap = {
    node: nodeFromWire(wire),
    admin: wire.admin?.address && addressFromWire(wire.admin.address, scope.field("admin").field("address"), "ip"),
    listeners: (resources?.listeners ?? []).map((item, index) =>
      named(listenerFromWire(item, at.field("listeners").at(index))),
    ),
    clusters: (resources?.clusters ?? []).map((item, index) => clusterFromWire(item, at.field("clusters").at(index))),
    secrets: (resources?.secrets ?? []).map((item, index) => secretFromWire(item, at.field("secrets").at(index))),
    ads: adsFromWire(wire, scope.field("dynamic_resources")),
  };
  if (bootstrap.ads !== undefined) {
    for (const name of ["id", "cluster"] as const) {
      if (bootstrap.node[name] === "")
        scope.field("node").field(name).invalid("must be set where a control plane is used");
    }
  }
  checkReferences(bootstrap, scope);
  const heddle = readHeddleSettings(metadata["heddle"], scope.field("node").field("metadata").field("heddle"));
  return { ...bootstrap, heddle };
}

/** Envoy makes up a name for a static listener without one; ours can be recognized. */
function named(listener: Listener): Listener {
  return listener.name === "" ? { ...listener, name: formatAddress(listener.address) } : listener;
}

function nodeFromWire(wire: WireBootstrap): NodeInfo {
  const { node } = wire;
  return {
    id: node?.id ?? "",
    cluster: node?.cluster ?? "",
    region: node?.locality?.region ?? "",
    zone: node?.locality?.zone ?? "",
    subZone: node?.locality?.subZone ?? "",
    metadata: node?.metadata ?? {},
  };
}

function adsFromWire(wire: WireBootstrap, scope: Scope): AdsConfig | undefined {
  const resources = wire.dynamicResources;
  if (resources === undefined) return undefined;
  const ads = resources.adsConfig;
  for (const [name, source] of [
    ["lds_config", resources.ldsConfig],
    ["cds_config", resources.cdsConfig],
  ] as const) {
    if (source === undefined) continue;
    if (source.configSourceSpecifier.case !== "ads") scope.field(name).unsupported("only ads is supported");
    else if (ads === undefined) scope.field(name).invalid("ads needs an ads_config");
    else if (source.resourceApiVersion !== ApiVersion.V3)
      scope.field(name).field("resource_api_version").invalid("must be V3");
  }
  if (ads === undefined) return undefined;
  const at = scope.field("ads_config");
  if (ads.transportApiVersion !== ApiVersion.V3) at.field("transport_api_version").invalid("must be V3");
  return {
    cluster: adsCluster(ads, at),
    delta: isDelta(ads, at),
    listeners: resources.ldsConfig !== undefined,
    clusters: resources.cdsConfig !== undefined,
  };
}

function isDelta(ads: ApiConfigSource, scope: Scope): boolean {
  if (ads.apiType === ApiType.DELTA_GRPC) return true;
  if (ads.apiType !== ApiType.GRPC) scope.field("api_type").unsupported("only DELTA_GRPC and GRPC are supported");
  return false;
}

function adsCluster(ads: ApiConfigSource, scope: Scope): string {
  const [service, second] = ads.grpcServices;
  const at = scope.field("grpc_services");
  if (service === undefined) at.invalid("must have one item");
  if (second !== undefined) at.at(1).unsupported("one control plane is supported, not several");
  const target = service?.targetSpecifier;
  return target?.case === "envoyGrpc" ? target.value.clusterName : "";
}
