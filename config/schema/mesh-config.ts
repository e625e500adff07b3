// MeshConfig: what holds for the whole mesh. There is one, called "default".

import type { Static } from "typebox";
import {
  choice,
  duration,
  exactlyOneOf,
  flag,
  formatted,
  list,
  optional,
  port,
  record,
  text,
  whole,
} from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { overload } from "./overload.ts";
import { mtlsModeDescription, mtlsModes } from "./peer-authentication.ts";
import type { Immutable } from "./structural.ts";
import { accessLog, tracing } from "./telemetry.ts";
import { colours } from "./mesh/colours.ts";
import { trusted } from "./mesh/trusted.ts";
import { trafficBlocks } from "./traffic/blocks.ts";

const headerSource = record("A header names the tenant, where it is to be believed.", {
  name: formatted("headerName", "Name of the header."),
  trusted,
  onUntrusted: choice(["refuse", "strip"], "A forged header: answer 403, or take the header away and go on.", {
    default: "refuse",
  }),
});

const tenantSource = record(
  "One source; exactly one of its fields is set.",
  {
    header: optional(headerSource),
    peerIdentity: optional(
      record(
        "The verified identity of the peer names the tenant.",
        { pattern: formatted("spiffeId", "A SPIFFE id with {tenant} in it once; * stands for any text without /.") },
        {
          "x-kubernetes-validations": [
            {
              rule: "self.pattern.indexOf('{tenant}') >= 0 && self.pattern.indexOf('{tenant}') == self.pattern.lastIndexOf('{tenant}')",
              message: "pattern must have {tenant} exactly once",
              fieldPath: ".pattern",
            },
          ],
        },
      ),
    ),
    jwtClaim: optional(
      record("A claim of a verified JWT names the tenant.", {
        name: text("Name of the claim.", { minLength: 1, maxLength: 256 }),
      }),
    ),
  },
  { "x-kubernetes-validations": [exactlyOneOf("header", "peerIdentity", "jwtClaim")] },
);

const tenants = record("How the tenant of a request is known, and what follows from it.", {
  labelKey: formatted("labelKey", "The label of an endpoint that names its tenant.", { default: "tenant" }),
  isolate: flag(
    "A tenant's requests go only to its own endpoints, never to another tenant's, also when its own are down. Services without labelled endpoints are everybody's.",
    { default: true },
  ),
  withoutTenant: choice(
    ["shared", "deny"],
    "A request of no tenant to a service with labelled endpoints: only the unlabelled ones, or 403.",
    { default: "shared" },
  ),
  sources: list(tenantSource, "Where the tenant is read; the first that has one wins.", 8, { minItems: 1 }),
});

const rateLimitService = record(
  "A service that counts for all proxies, by Envoy's protocol `service.ratelimit.v3`. It is called as all services are: with mutual TLS where it has a sidecar.",
  {
    namespace: formatted("objectName", "Its namespace."),
    name: formatted("objectName", "Name of a Service or ServiceEntry whose port speaks gRPC."),
    port: port("Number of its port."),
    domain: text("The domain of the limits in its configuration.", { default: "heddle", minLength: 1, maxLength: 256 }),
    timeout: duration("A request waits so long for its answer.", { default: "20ms" }),
    failureMode: choice(["open", "closed"], "Without an answer the request goes on, or is answered 500.", {
      default: "open",
    }),
  },
);

const spec = record("What the user wants.", {
  trustDomain: formatted(
    "trustDomain",
    "The first part of every identity: spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>.",
    { default: "cluster.local" },
  ),
  outboundMtls: choice(
    ["auto", "required"],
    "auto: mutual TLS wherever the destination has an identity; required: nothing else leaves.",
    { default: "auto" },
  ),
  outboundPolicy: choice(
    ["allow", "deny"],
    "What happens to captured connections to destinations that the mesh does not know: they go on to where they were going, or they are refused.",
    {
      default: "allow",
    },
  ),
  mtls: record(
    "What PeerAuthentication changes.",
    { mode: choice(mtlsModes, mtlsModeDescription, { default: "PERMISSIVE" }) },
    { default: {} },
  ),
  certificates: record(
    "Certificates of workloads.",
    {
      lifetime: duration("How long one is valid.", { default: "24h" }),
      renewAtPercent: whole("Share of its life after which it is renewed.", 10, 90, { default: 50 }),
    },
    {
      default: {},
      "x-kubernetes-validations": [
        {
          rule: "duration(self.lifetime) >= duration('1m')",
          message: "lifetime must be at least 1m",
          fieldPath: ".lifetime",
        },
      ],
    },
  ),
  drain: record(
    "How a proxy ends.",
    { timeout: duration("Time for running requests after SIGTERM. (Istio's default.)", { default: "45s" }) },
    { default: {} },
  ),
  defaults: optional(
    record("Blocks of TrafficPolicy for every service that no policy gives the block.", trafficBlocks),
  ),
  tracing: optional(tracing),
  accessLog: optional(accessLog),
  tenants: optional(tenants),
  overload: optional(overload),
  rateLimitService: optional(rateLimitService),
  colours: optional(colours),
});

export type MeshConfigSpec = Immutable<Static<typeof spec>>;
export type TenantSettings = Immutable<Static<typeof tenants>>;
export type TenantSource = TenantSettings["sources"][number];
export type MeshConfig = ResourceOf<"MeshConfig", MeshConfigSpec>;

export const meshConfigKind = heddleKind({
  kind: "MeshConfig",
  plural: "meshconfigs",
  scope: "Cluster",
  description:
    "What holds for the whole mesh: trust domain, mutual TLS, unknown destinations, tenants, and the defaults of traffic and telemetry. The one in effect is called default.",
  spec,
  rules: [
    {
      rule: "self.metadata.name == 'default'",
      message: 'the one MeshConfig must be called "default"',
      fieldPath: ".metadata.name",
    },
  ],
  columns: [
    { name: "TrustDomain", type: "string", jsonPath: ".spec.trustDomain" },
    { name: "OutboundMtls", type: "string", jsonPath: ".spec.outboundMtls" },
    columns.age,
  ],
});
