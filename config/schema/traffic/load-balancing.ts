// The block `loadBalancing` of TrafficPolicy: how an endpoint is chosen.

import type { Static } from "typebox";
import { choice, decimal, duration, list, mapOf, optional, percent, record, text, whole } from "../fields.ts";
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

const place = text("A region, or a zone as `region/zone`.", { minLength: 1, maxLength: 317 });

const locality = record(
  "Which regions and zones requests go to. A client's own are those of its node or its registry entry; without them all are the same to it.",
  {
    mode: choice(
      ["any", "preferLocal"],
      "any: wherever endpoints are. preferLocal: those of the client's zone, else of its region, else any; as many requests go further as " +
        "the nearer endpoints, with a reserve of two fifths, cannot take.",
      { default: "preferLocal" },
    ),
    failover: optional(
      list(
        record("What comes after a region.", {
          from: text("The client's region.", { minLength: 1, maxLength: 63 }),
          to: list(text("A region.", { minLength: 1, maxLength: 63 }), "Regions, the next one first.", 8, {
            minItems: 1,
          }),
        }),
        "preferLocal: in which order other regions are taken. Those that are not named come last.",
        64,
        { minItems: 1 },
      ),
    ),
    distribute: optional(
      list(
        record(
          "The shares of one region's or zone's clients.",
          {
            from: place,
            to: mapOf(percent("Its share."), "Shares by region or `region/zone`, 100 together.", 32, {
              minProperties: 1,
            }),
          },
          {
            "x-kubernetes-validations": [
              {
                rule: "self.to.map(place, self.to[place]).sum() == 100",
                message: "the shares must be 100 together",
                fieldPath: ".to",
              },
            ],
          },
        ),
        "Fixed shares in the place of preferLocal, for clients there. What is not named gets requests when nothing that is named can.",
        64,
        { minItems: 1 },
      ),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "self.mode == 'preferLocal' || (!has(self.failover) && !has(self.distribute))",
        message: "failover and distribute must not be set with mode any",
      },
    ],
  },
);

const byLoad = record("How weights follow load reports.", {
  blackoutPeriod: duration("How long an endpoint must have reported before its weight counts.", { default: "10s" }),
  weightExpirationPeriod: duration("A weight is forgotten when no report came for so long.", { default: "180s" }),
  weightUpdatePeriod: duration("How often weights are read; at least 100ms.", { default: "1s" }),
  errorUtilizationPenalty: decimal("What an error per request adds to the utilisation.", 0, 1000, { default: 1 }),
  metricNames: optional(
    list(
      text("`named_metrics.queue`, `utilization.*` and so on.", { minLength: 1, maxLength: 256 }),
      "Metrics of the application, of which the greatest is the utilisation.",
      16,
      { minItems: 1 },
    ),
  ),
});

export const loadBalancing = record(
  "How an endpoint is chosen.",
  {
    policy: choice(
      ["roundRobin", "leastRequest", "random", "ringHash", "maglev", "peakEwma", "weightedByLoad"],
      "The way of choosing. weightedByLoad: in turn, by weights that follow what endpoints and their sidecars report of their load. " +
        "(Istio's default; Envoy's is roundRobin.)",
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
      record("Size of the table.", {
        tableSize: whole("Entries; rounded up to a prime number.", 2, 5_000_011, { default: 65_537 }),
      }),
    ),
    hashBalanceFactor: optional(
      whole(
        "ringHash, maglev: no endpoint has more than this percentage of the mean of running requests.",
        100,
        10_000,
      ),
    ),
    byLoad: optional(byLoad),
    locality: optional(locality),
    slowStart: optional(
      record(
        "Endpoints that come new, or come back, get their share slowly. For roundRobin, leastRequest, peakEwma and weightedByLoad.",
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
        rule: "!has(self.slowStart) || self.policy in ['roundRobin', 'leastRequest', 'peakEwma', 'weightedByLoad']",
        message: "slowStart is for roundRobin, leastRequest, peakEwma and weightedByLoad only",
        fieldPath: ".slowStart",
      },
      {
        rule: "!has(self.byLoad) || self.policy == 'weightedByLoad'",
        message: "byLoad is for policy weightedByLoad only",
        fieldPath: ".byLoad",
      },
      {
        rule: "!has(self.hashBalanceFactor) || self.policy in ['ringHash', 'maglev']",
        message: "hashBalanceFactor is for ringHash and maglev only",
        fieldPath: ".hashBalanceFactor",
      },
    ],
  },
);

export type LocalityPolicy = Immutable<Static<typeof locality>>;
export type LoadBalancing = Immutable<Static<typeof loadBalancing>>;
