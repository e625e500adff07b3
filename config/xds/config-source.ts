// ConfigSource: where a reference is resolved. Heddle has one place, the ADS stream that everything comes on.
import { create } from "@bufbuild/protobuf";
import { ApiVersion, ConfigSourceSchema, type ConfigSource } from "./gen/envoy/config/core/v3/config_source_pb.ts";
import type { Scope } from "./issues.ts";

export function checkAdsSource(source: ConfigSource | undefined, scope: Scope): void {
  if (source === undefined) {
    scope.invalid("must be set");
    return;
  }
  // xDS v2 is gone from Envoy too; AUTO meant v2.
  if (source.configSourceSpecifier.case === "ads" && source.resourceApiVersion !== ApiVersion.V3) {
    scope.field("resource_api_version").invalid("must be V3");
  }
}

export function adsSource(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: "ads", value: {} },
    resourceApiVersion: ApiVersion.V3,
  });
}
