// The block `loadBalancing` of TrafficPolicy: how an endpoint is chosen.

import type { Static } from "typebox";
import { choice, decimal, duration, list, optional, percent, record, text, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const hashKey = record(
  "One part of the key.",
  {
    type: choice(["header", "cookie", "queryParameter", "sourceAddress", "tenant"], "Where the part is taken from."),
    name: optional(text("Name of the header, cookie or query parameter.", { minLength: 1, maxLength: 256 })),
    ttl: optional(duration("A cookie that is missing is made, and lives this long.")),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.type in ['header', 'cookie', 'queryParameter']) == has(self.name)",
        message: "name must be set for header, cookie and queryParameter, and for nothing else",
      },
      { rule: "!has(self.ttl) || self.type == 'cookie'", message: "ttl is for cookies only", fieldPath: ".ttl" },
    ],
  },
);

export const loadBalancing = record(
  "How an endpoint is chosen.",
  {
    policy: choice(
      ["roundRobin", "leastRequest", "random", "ringHash", "maglev", "peakEwma"],
      "The way of choosing. (Istio's default; Envoy's is roundRobin.)",
      {
        default: "leastRequest",
      },
    ),
    choiceCount: whole("leastRequest: endpoints drawn, of which the least busy is taken.", 2, 10, { default: 2 }),
    hashOn: optional(list(hashKey, "ringHash, maglev: what the key is made of.", 4, { minItems: 1 })),
    ringHash: optional(
      record(
        "Size of the ring.",
        {
          minimumRingSize: whole("Least number of points.", 1, 8_388_608, { default: 1024 }),
          maximumRingSize: whole("Greatest number of points.", 1, 8_388_608, { default: 8_388_608 }),
        },
        {
          "x-kubernetes-validations": [
            {
              rule: "self.minimumRingSize <= self.maximumRingSize",
              message: "minimumRingSize must not be more than maximumRingSize",
            },
          ],
        },
      ),
    ),
    maglev: optional(
      record("Size of the table.", { tableSize: whole("Entries, a prime number.", 2, 5_000_011, { default: 65_537 }) }),
    ),
    slowStart: optional(
      record(
        "Endpoints that come new, or come back, get their share slowly. For roundRobin, leastRequest and peakEwma.",
        {
          window: duration("Time until the full share.", { default: "30s" }),
          aggression: decimal("1 is a straight line; more is faster at the beginning.", 0.1, 10, { default: 1 }),
          minWeightPercent: percent("Share at the beginning.", { default: 10 }),
        },
      ),
    ),
    panicThresholdPercent: percent("Below this share of healthy endpoints all are used. 0 switches this off.", {
      default: 50,
    }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "(self.policy in ['ringHash', 'maglev']) == has(self.hashOn)",
        message: "hashOn must be set for ringHash and maglev, and for nothing else",
      },
      {
        rule: "!has(self.ringHash) || self.policy == 'ringHash'",
        message: "ringHash is for policy ringHash only",
        fieldPath: ".ringHash",
      },
      {
        rule: "!has(self.maglev) || self.policy == 'maglev'",
        message: "maglev is for policy maglev only",
        fieldPath: ".maglev",
      },
      {
        rule: "!has(self.slowStart) || self.policy in ['roundRobin', 'leastRequest', 'peakEwma']",
        message: "slowStart is for roundRobin, leastRequest and peakEwma only",
        fieldPath: ".slowStart",
      },
    ],
  },
);

export type LoadBalancing = Immutable<Static<typeof loadBalancing>>;
