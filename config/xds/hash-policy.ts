// HashPolicy: what a hashing balancer keeps together, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HashPolicy } from "../model/route.ts";
import { fromMs, toMs } from "./duration.ts";
import {
  RouteAction_HashPolicySchema,
  type RouteAction_HashPolicy,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import type { Scope } from "./issues.ts";

type SpecifierInit = NonNullable<MessageInitShape<typeof RouteAction_HashPolicySchema>["policySpecifier"]>;

export function hashPolicyFromWire(wire: RouteAction_HashPolicy, scope: Scope): HashPolicy | undefined {
  const { policySpecifier: policy, terminal } = wire;
  switch (policy.case) {
    case "header":
      return { kind: "header", name: policy.value.headerName.toLowerCase(), terminal };
    case "cookie": {
      const { name, path, ttl } = policy.value;
      return { kind: "cookie", name, path, ttlMs: ttl && toMs(ttl), terminal };
    }
    case "queryParameter":
      return { kind: "query", name: policy.value.name, terminal };
    case "connectionProperties":
      if (!policy.value.sourceIp) scope.field("connection_properties").unsupported("only source_ip is supported");
      return { kind: "sourceIp", terminal };
    case "filterState":
    case undefined:
      // Reported already.
      return undefined;
  }
}

export function hashPolicyToWire(model: HashPolicy): RouteAction_HashPolicy {
  return create(RouteAction_HashPolicySchema, { policySpecifier: specifierToWire(model), terminal: model.terminal });
}

function specifierToWire(model: HashPolicy): SpecifierInit {
  switch (model.kind) {
    case "header":
      return { case: "header", value: { headerName: model.name } };
    case "cookie": {
      const ttl = model.ttlMs === undefined ? {} : { ttl: fromMs(model.ttlMs) };
      return { case: "cookie", value: { name: model.name, path: model.path, ...ttl } };
    }
    case "query":
      return { case: "queryParameter", value: { name: model.name } };
    case "sourceIp":
      return { case: "connectionProperties", value: { sourceIp: true } };
  }
}
