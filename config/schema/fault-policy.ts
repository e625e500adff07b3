// FaultPolicy: delays, aborts and slow answers on purpose, to see how callers bear them.

import type { Static } from "typebox";
import { grpcStatusNames } from "#lib/grpc/status.ts";
import {
  choice,
  decimal,
  duration,
  exactlyOneOf,
  formatted,
  list,
  listByKey,
  optional,
  record,
  text,
  whole,
} from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { requestTargetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const;

const match = record("All conditions of one match must hold.", {
  path: optional(
    record("Matches the path of the request, without its query.", {
      type: choice(["Exact", "PathPrefix", "RegularExpression"], "How the path is compared; a prefix ends at a `/`.", {
        default: "PathPrefix",
      }),
      value: text("The path to compare with.", { minLength: 1 }),
    }),
  ),
  method: optional(choice(methods, "The method that must be used.")),
  headers: optional(
    listByKey(
      record("Matches a header.", {
        type: choice(["Exact", "RegularExpression"], "How the value is compared.", { default: "Exact" }),
        name: formatted("headerName", "Name of the header, in any case."),
        value: formatted("headerValue", "The value to compare with."),
      }),
      ["name"],
      "Headers that must match.",
      16,
    ),
  ),
});

const delay = record(
  "The request waits before it goes on.",
  { fixed: duration("How long.") },
  {
    "x-kubernetes-validations": [
      { rule: "duration(self.fixed) > duration('0s')", message: "fixed must be more than 0s", fieldPath: ".fixed" },
    ],
  },
);

const abort = record(
  "The request is answered, behind the delay where there is one, and goes nowhere.",
  {
    httpStatus: optional(whole("The status; a gRPC call is told the code that belongs to it.", 200, 599)),
    grpcStatus: optional(
      choice(grpcStatusNames, "The code of a trailers-only answer. Only gRPC calls have this fault."),
    ),
  },
  { "x-kubernetes-validations": [exactlyOneOf("httpStatus", "grpcStatus")] },
);

const fault = record(
  "One fault. Each of a list is drawn on its own: delays add up, the first abort decides, the lowest rate holds.",
  {
    matches: list(match, "One of these must hold; empty: the fault is for all requests.", 8, { default: [] }),
    percent: decimal("The share of those requests that have the fault.", 0, 100, { default: 100 }),
    delay: optional(delay),
    abort: optional(abort),
    responseRateLimit: optional(
      record("The body of the answer comes slowly.", {
        kibPerSecond: whole("KiB of the body in a second.", 1, 2 ** 31 - 1),
      }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "has(self.delay) || has(self.abort) || has(self.responseRateLimit)",
        message: "at least one of delay, abort, responseRateLimit must be set",
      },
    ],
  },
);

const spec = record("What the user wants.", {
  targetRefs: requestTargetRefs,
  direction: choice(["inbound", "outbound"], "Whether each client's sidecar makes the faults, or the server's own.", {
    default: "outbound",
  }),
  maxActiveFaults: optional(
    whole("Requests of one proxy that have a fault at one time; there are no more above it.", 0, 2 ** 31 - 1, {
      "x-heddle-absent": "any number",
    }),
  ),
  faults: list(fault, "What goes wrong.", 16, { minItems: 1 }),
});

export type FaultPolicySpec = Immutable<Static<typeof spec>>;
export type FaultRule = FaultPolicySpec["faults"][number];
export type FaultPolicy = ResourceOf<"FaultPolicy", FaultPolicySpec>;

export const faultPolicyKind = heddleKind({
  kind: "FaultPolicy",
  plural: "faultpolicies",
  shortNames: ["fp"],
  description:
    "Makes requests to a service wait, fail or be answered slowly, for a share of them or for those with certain headers, to test who calls it.",
  spec,
  columns: [
    columns.target,
    { name: "Percent", type: "string", jsonPath: ".spec.faults[*].percent" },
    columns.accepted,
    columns.programmed,
    columns.age,
  ],
});
