// GRPCRoute of Gateway API v1: where a Service's gRPC calls go.

import type { Static } from "typebox";
import { choice, formatted, list, listByKey, optional, record, text } from "./fields.ts";
import {
  backendObjectFields,
  backendPortRule,
  backendWeight,
  extensionRef,
  filterFieldRules,
  filterOnceRules,
  headerModifier,
  hostnames,
  matchLimitRule,
  parentRefs,
  requestMirror,
  ruleName,
  sessionPersistence,
  uniqueRuleNames,
  useDefaultGateways,
} from "./gateway-fields.ts";
import { gatewayKind, type ResourceOf } from "./kind.ts";
import type { Immutable } from "./structural.ts";

const serviceCharacters = "^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$";
const methodCharacters = "^[A-Za-z_][A-Za-z_0-9]*$";

const methodMatch = record(
  "Matches the service and the method that is called.",
  {
    type: choice(["Exact", "RegularExpression"], "How both are compared.", { default: "Exact" }),
    service: optional(text("Full name of the service, as `shop.Stock`; any where absent.")),
    method: optional(text("Name of the method; any where absent.")),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "One or both of 'service' or 'method' must be specified",
        rule: "has(self.type) ? has(self.service) || has(self.method) : true",
      },
      {
        message: `service must only contain valid characters (matching ${serviceCharacters})`,
        rule: `(!has(self.type) || self.type == 'Exact') && has(self.service) ? self.service.matches(r"""${serviceCharacters}""") : true`,
      },
      {
        message: `method must only contain valid characters (matching ${methodCharacters})`,
        rule: `(!has(self.type) || self.type == 'Exact') && has(self.method) ? self.method.matches(r"""${methodCharacters}""") : true`,
      },
    ],
  },
);

const match = record("All conditions of one match must hold.", {
  method: optional(methodMatch),
  headers: optional(
    listByKey(
      record("Matches a header (metadata of the call).", {
        type: choice(["Exact", "RegularExpression"], "How the value is compared.", { default: "Exact" }),
        name: formatted("headerName", "Name of the header, in any case."),
        value: text("The value to compare with.", { minLength: 1, maxLength: 4096 }),
      }),
      ["name"],
      "Headers that must match.",
      16,
    ),
  ),
});

const fieldOfFilter = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  ExtensionRef: "extensionRef",
} as const;

const filter = record(
  "One step of processing; `type` says which of the other fields is set.",
  {
    type: choice(
      ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"],
      "What the filter does.",
    ),
    requestHeaderModifier: optional(headerModifier),
    responseHeaderModifier: optional(headerModifier),
    requestMirror: optional(requestMirror),
    extensionRef: optional(extensionRef),
  },
  { "x-kubernetes-validations": filterFieldRules(fieldOfFilter) },
);

const filters = list(filter, "Steps of processing, in this order.", 16, {
  "x-kubernetes-validations": filterOnceRules("RequestHeaderModifier", "ResponseHeaderModifier"),
});

const backendRef = record(
  "A backend and its share.",
  { ...backendObjectFields, weight: backendWeight, filters: optional(filters) },
  { "x-kubernetes-validations": [backendPortRule] },
);

const rule = record("Calls that match go to these backends.", {
  name: optional(ruleName),
  matches: optional(list(match, "One of these must match; every call where absent.", 64)),
  filters: optional(filters),
  backendRefs: optional(list(backendRef, "Backends; none answers UNAVAILABLE.", 16)),
  sessionPersistence: optional(sessionPersistence),
});

const spec = record("What the user wants.", {
  parentRefs: optional(parentRefs),
  hostnames: optional(hostnames),
  useDefaultGateways: optional(useDefaultGateways),
  rules: optional(
    list(rule, "Rules, of which the most specific match wins.", 16, {
      "x-kubernetes-validations": [
        matchLimitRule((index) => `(has(self[${index}].matches) ? self[${index}].matches.size() : 0)`),
        uniqueRuleNames,
      ],
    }),
  ),
});

export type GRPCRouteSpec = Immutable<Static<typeof spec>>;
export type GRPCRouteRule = NonNullable<GRPCRouteSpec["rules"]>[number];
export type GRPCRouteMatch = Immutable<Static<typeof match>>;
export type GRPCRouteFilter = Immutable<Static<typeof filter>>;
export type GRPCBackendRef = Immutable<Static<typeof backendRef>>;
export type GRPCRoute = ResourceOf<"GRPCRoute", GRPCRouteSpec>;

export const grpcRouteKind = gatewayKind({
  kind: "GRPCRoute",
  plural: "grpcroutes",
  description: "Routes gRPC calls of a Service by service, method and headers to weighted backends (Gateway API v1).",
  spec,
});
