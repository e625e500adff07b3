// The block `bulkhead` of TrafficPolicy: places of their own for the requests of a service, a route or a tenant.

import type { Static } from "typebox";
import { choice, duration, list, optional, record, text, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const int32 = 2 ** 31 - 1;

const key = record(
  "One part of the key.",
  {
    type: choice(
      ["tenant", "route", "identity", "header"],
      "Where the part is taken from: `route` is the rule that matched, `identity` the peer's SPIFFE id.",
    ),
    name: optional(text("Name of the header.", { minLength: 1, maxLength: 256 })),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.type == 'header') == has(self.name)",
        message: "name must be set for type header, and for nothing else",
      },
    ],
  },
);

export const bulkhead = record(
  "So many requests at once and no more, so that what is slow cannot use up what others need.",
  {
    maxConcurrent: whole("Requests that may run at once in each proxy.", 1, int32),
    maxPending: whole("Requests that may wait for a place.", 0, int32, { default: 0 }),
    maxWait: duration("How long one waits before it is answered 503.", { default: "0s" }),
    per: list(key, "Places for each distinct value of these together; for all requests together where empty.", 4, {
      default: [],
    }),
    maxKeys: whole(
      "Values that are told apart at once; the one unused for longest makes room, and what finds none shares one.",
      1,
      100_000,
      { default: 1000 },
    ),
    direction: choice(
      ["inbound", "outbound"],
      "Whether the server's sidecar counts what comes, or each client's what goes.",
      { default: "outbound" },
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "duration(self.maxWait) <= duration('9s')",
        message: "maxWait must be at most 9s",
        fieldPath: ".maxWait",
      },
      {
        rule: "(self.maxPending == 0) == (duration(self.maxWait) == duration('0s'))",
        message: "maxPending and maxWait must be set together",
        fieldPath: ".maxPending",
      },
    ],
  },
);

export type Bulkhead = Immutable<Static<typeof bulkhead>>;
