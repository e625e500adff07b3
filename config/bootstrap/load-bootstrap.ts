// The file that a proxy starts with: Envoy's bootstrap in YAML or JSON, read strictly, every mistake with line and column.
import { fromJson } from "@bufbuild/protobuf";
import { describeError } from "#lib/errors.ts";
import { parseYaml, type YamlDocument } from "../load/yaml-documents.ts";
import { formatAddress } from "../model/address.ts";
import type { AdsConfig, Bootstrap, NodeInfo } from "../model/bootstrap.ts";
import type { Listener } from "../model/listener.ts";
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
import { BootstrapError, type BootstrapProblem } from "./problem.ts";
import { checkReferences } from "./references.ts";

/**
 * Reads a bootstrap. `fileName` is only what errors call it; files that it names are read through `options.readFile`.
 * @throws {BootstrapError} with every problem at once.
 */
export function loadBootstrap(text: string, fileName: string, options: DecodeOptions): Bootstrap {
  const parsed = parseYaml(text, fileName);
  const [document, second] = parsed.documents;
  if (parsed.errors.length > 0) throw new BootstrapError(fileName, parsed.errors);
  if (document === undefined || second !== undefined) {
    const message = `a bootstrap is one document: got ${parsed.documents.length}`;
    const where = second?.locate([]) ?? { line: 1, column: 1 };
    const code = "HDL_CONFIG_NOT_A_RESOURCE";
    throw new BootstrapError(fileName, [{ code, file: fileName, path: "", message, hint: undefined, ...where }]);
  }
  const reader = new MessageReader();
  const json = reader.read(BootstrapSchema, document.value);
  const issues: ConfigIssue[] = [];
  const scope = Scope.root(options, issues);
  const bootstrap = decode(json, scope);
  const problems = locateProblems(document, reader, issues);
  if (problems.length > 0 || bootstrap === undefined) throw new BootstrapError(fileName, problems);
  return bootstrap;
}

function decode(json: ReturnType<MessageReader["read"]>, scope: Scope): Bootstrap | undefined {
  try {
    const wire = fromJson(BootstrapSchema, json, { registry });
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

/** What was found, at the place where it was written; what only follows from a mistake in reading is left out. */
function locateProblems(
  document: YamlDocument,
  reader: MessageReader,
  issues: readonly ConfigIssue[],
): BootstrapProblem[] {
  const { file } = document;
  const fromReading = reader.problems.map(({ path, code, message, hint, at }) => {
    const where = document.locate(reader.written.get(path) ?? [], at);
    return { code, file, path, message, hint, ...where };
  });
  const fromChecking = issues
    .filter((issue) => !reader.problems.some((problem) => isAtOrAround(issue.path, problem.path)))
    .map(({ path, kind, message }): BootstrapProblem => {
      const code = kind === "unsupported" ? "HDL_BOOTSTRAP_UNSUPPORTED" : "HDL_CONFIG_INVALID_VALUE";
      const where = document.locate(nearest(reader, path), kind === "unsupported" ? "key" : "value");
      return { code, file, path, message, hint: undefined, ...where };
    });
  return [...fromReading, ...fromChecking];
}

/** A value that could not be read is missing where it stands, and perhaps in what holds it. */
function isAtOrAround(issuePath: string, brokenPath: string): boolean {
  if (issuePath === brokenPath) return true;
  return [".", "["].some((next) => brokenPath.startsWith(issuePath + next) || issuePath.startsWith(brokenPath + next));
}

/** Where a path is written, or the nearest one above it that is. */
function nearest(reader: MessageReader, path: string): readonly (string | number)[] {
  for (let rest = path; rest !== ""; rest = rest.slice(0, Math.max(rest.lastIndexOf("."), rest.lastIndexOf("[")))) {
    const steps = reader.written.get(rest);
    if (steps !== undefined) return steps;
    if (!/[.[]/.test(rest)) break;
  }
  return [];
}
