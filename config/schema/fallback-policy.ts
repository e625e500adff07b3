// FallbackPolicy: what is answered in place of a service that is degraded.

import type { Static } from "typebox";
import { grpcStatusNames } from "#lib/grpc/status.ts";
import { choice, duration, formatted, list, listByKey, optional, port, record, text, whole } from "./fields.ts";
import { backendObjectFields } from "./gateway-fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { requestTargetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";

/** Why a request failed in the proxy, after all its attempts. */
export const fallbackConditions = [
  "breakerOpen",
  "noHealthyEndpoint",
  "timeout",
  "connectFailure",
  "reset",
  "overloaded",
  "rateLimited",
] as const;

const when = record(
  "One of these must hold.",
  {
    conditions: list(
      choice(fallbackConditions, "What the proxy itself had to answer."),
      "Failures that the proxy answers itself.",
      fallbackConditions.length,
      {
        "x-kubernetes-list-type": "set",
        default: ["breakerOpen", "noHealthyEndpoint", "timeout", "connectFailure", "reset", "overloaded"],
      },
    ),
    statuses: list(whole("A status.", 400, 599), "Statuses of the service's own answers, after retries.", 64, {
      "x-kubernetes-list-type": "set",
      default: [],
    }),
  },
  { default: {} },
);

const service = record(
  "Another service's answer to the same request. It is asked with attempts, limits and certificates of its own, once, and has no fallback itself. Where that cannot be (the body is too long to be kept, the service is not there or full), the next of these answers.",
  {
    backendRef: record("Who is asked. One of another namespace needs a ReferenceGrant there.", {
      ...backendObjectFields,
      namespace: optional(formatted("dnsLabel", "Namespace of the backend; the policy's own where absent.")),
      port: port("Port of the backend."),
    }),
    timeout: optional(
      duration("How long it may take. Where absent the request's own timeout begins anew; 0s is no limit."),
    ),
  },
);

const fixed = record("The same answer for everybody.", {
  status: whole("The status.", 200, 599, { default: 200 }),
  contentType: formatted("headerValue", "The media type of the body.", { default: "application/json" }),
  body: text("The body.", { maxLength: 65_536, default: "" }),
  headers: listByKey(
    record("A header.", {
      name: formatted("headerName", "Name of the header."),
      value: formatted("headerValue", "Its value."),
    }),
    ["name"],
    "More headers of the answer.",
    16,
    { default: [] },
  ),
  grpcStatus: choice(grpcStatusNames, "What a gRPC call is answered instead, without a message.", {
    default: "UNAVAILABLE",
  }),
});

const cached = record(
  "The last good answer to the same request (GET, 200), marked with Age and Warning. Answers that are private, no-store or set cookies, and requests with Authorization or Cookie, are never kept.",
  {
    maxAge: duration("How old it may be.", { default: "5m" }),
    maxEntries: whole(
      "Answers that are kept in a worker; the one that was not used for longest goes first.",
      1,
      100_000,
      {
        default: 1000,
      },
    ),
    maxKib: whole("KiB of all their bodies in a worker; one has at most a sixteenth of it.", 16, 1_048_576, {
      default: 16_384,
    }),
    keyHeaders: list(
      formatted("headerName", "A header of the request."),
      "Requests that differ in these have answers of their own, beside method, host, path, query, tenant and Accept.",
      16,
      { "x-kubernetes-list-type": "set", default: [] },
    ),
  },
);

const spec = record(
  "What the user wants.",
  {
    targetRefs: requestTargetRefs,
    direction: choice(["inbound", "outbound"], "Whether each client's sidecar answers, or the server's own.", {
      default: "outbound",
    }),
    when,
    service: optional(service),
    cached: optional(cached),
    static: optional(fixed),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "has(self.service) || has(self.cached) || has(self.static)",
        message: "at least one of service, cached, static must be set",
      },
      {
        rule: "!has(self.service) || self.direction == 'outbound'",
        message: "service is for direction outbound: a server's own sidecar asks nobody else",
      },
    ],
  },
);

export type FallbackPolicySpec = Immutable<Static<typeof spec>>;
export type FallbackPolicy = ResourceOf<"FallbackPolicy", FallbackPolicySpec>;

export const fallbackPolicyKind = heddleKind({
  kind: "FallbackPolicy",
  plural: "fallbackpolicies",
  shortNames: ["fbp"],
  description:
    "What is answered in place of a service that is degraded: another service's answer, else the last good one, else a fixed one. Of several policies for one target the oldest holds.",
  spec,
  columns: [columns.target, columns.accepted, columns.programmed, columns.age],
});
