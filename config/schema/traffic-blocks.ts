// The blocks of TrafficPolicy; MeshConfig.spec.defaults has the same ones. Defaults are Envoy's, if the field does not name another source.

import type { Static } from "typebox";
import {
  choice,
  decimal,
  duration,
  exactlyOneOf,
  flag,
  formatted,
  list,
  notLonger,
  optional,
  percent,
  port,
  record,
  text,
  whole,
} from "./fields.ts";
import type { Immutable } from "./structural.ts";

const uint32 = 2 ** 32 - 1;

/** What holds where no policy sets a timeout. `request` and `backendRequest` have none: a limit would cut streams that are meant to last. */
export const timeoutDefaults = { idle: "5m", connect: "5s", connectionIdle: "1h" } as const;

const timeouts = record(
  "Limits of time. The only block that merges field by field: the most specific policy that sets a field wins.",
  {
    request: optional(
      duration("From the end of the request to the end of the answer, all attempts together. 0s is no limit.", {
        "x-heddle-absent": "no limit",
      }),
    ),
    backendRequest: optional(duration("For one attempt.", { "x-heddle-absent": "no limit" })),
    idle: optional(
      duration("For a request on which nothing moves in either direction.", {
        "x-heddle-absent": timeoutDefaults.idle,
      }),
    ),
    connect: optional(
      duration("For a connection to an endpoint, its TLS handshake included.", {
        "x-heddle-absent": timeoutDefaults.connect,
      }),
    ),
    connectionIdle: optional(
      duration("For a pooled connection without requests.", { "x-heddle-absent": timeoutDefaults.connectionIdle }),
    ),
  },
  { "x-kubernetes-validations": [notLonger("backendRequest", "request")] },
);

/** Conditions of HTTP that a request can be tried again on, in Envoy's words (`x-envoy-retry-on`). */
const httpRetryConditions = [
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "refused-stream",
  "retriable-4xx",
  "retriable-status-codes",
  "envoy-ratelimited",
] as const;
/** Conditions of gRPC (`x-envoy-retry-grpc-on`). */
const grpcRetryConditions = [
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
] as const;

const retries = record("When, how often and how fast a request is tried again.", {
  attempts: whole("Tries after the first one. 0 switches retries off. (Istio's default; Envoy's is 1.)", 0, 20, {
    default: 2,
  }),
  retryOn: list(
    choice([...httpRetryConditions, ...grpcRetryConditions], "A condition."),
    "Conditions on which an idempotent request, or one with `Idempotency-Key`, is tried again; conditions of gRPC are for gRPC calls.",
    14,
    {
      "x-kubernetes-list-type": "set",
      default: ["connect-failure", "refused-stream", "reset-before-request", "retriable-status-codes"],
    },
  ),
  retryOnNonIdempotent: list(
    choice(httpRetryConditions, "A condition."),
    "Conditions on which other requests (POST, PATCH) are tried again too. Those that were certainly not processed always are.",
    9,
    { "x-kubernetes-list-type": "set", default: [] },
  ),
  retriableStatusCodes: list(whole("A status.", 400, 599), "Statuses that `retriable-status-codes` means.", 64, {
    "x-kubernetes-list-type": "set",
    default: [],
  }),
  backoff: record(
    "Pauses before tries: uniform between 0 and baseInterval x (2^n - 1), at most maxInterval (full jitter).",
    {
      baseInterval: duration("Unit of the pause.", { default: "25ms" }),
      maxInterval: duration("The longest pause.", { default: "250ms" }),
    },
    {
      default: {},
      "x-kubernetes-validations": [
        notLonger("baseInterval", "maxInterval"),
        {
          rule: "duration(self.baseInterval) > duration('0s')",
          message: "baseInterval must be more than 0s",
          fieldPath: ".baseInterval",
        },
      ],
    },
  ),
  budget: record(
    "Bounds the retries that run at the same time, so that they cannot become a storm.",
    {
      percent: percent("Share of the running requests.", { default: 20 }),
      minConcurrency: whole("Retries that may always run.", 0, uint32, { default: 3 }),
    },
    { default: {} },
  ),
});

const circuitBreaker = record("Answers 503 at once while too many requests fail. Defaults are Hystrix's.", {
  volumeThreshold: whole("Requests in the window before the share counts.", 1, uint32, { default: 20 }),
  errorPercent: whole("Share of failed requests that opens it.", 1, 100, { default: 50 }),
  window: duration("The time over which requests are counted.", { default: "10s" }),
  sleepWindow: duration("The time for which it stays open before one request is let through as a probe.", {
    default: "5s",
  }),
  errorStatuses: list(
    whole("A status.", 400, 599),
    "Statuses that are failures, besides resets, timeouts and refused connections.",
    64,
    {
      "x-kubernetes-list-type": "set",
      default: [500, 502, 503, 504],
    },
  ),
});

const connectionLimits = record(
  "Bounds of one proxy towards one service; what is beyond is answered 503 with the flag UO.",
  {
    maxConnections: whole("Connections.", 1, uint32, { default: 1024 }),
    maxPendingRequests: whole("Requests that wait for a connection.", 1, uint32, { default: 1024 }),
    maxRequests: whole("Requests that run.", 1, uint32, { default: 1024 }),
    maxRetries: whole(
      "Retries that run; usually the retry budget is tighter. (Envoy's 3 is too few while pods are replaced.)",
      0,
      uint32,
      { default: 1024 },
    ),
    maxRequestsPerConnection: optional(
      whole("Requests after which a connection is closed.", 1, uint32, { "x-heddle-absent": "no limit" }),
    ),
    maxConnectionAge: optional(
      duration("Age at which a connection is closed gracefully.", { "x-heddle-absent": "the life of the certificate" }),
    ),
  },
);

const outlierDetection = record(
  "Takes single endpoints out for a while that fail where others do not. Names and defaults are Envoy's.",
  {
    consecutive5xx: whole("5xx answers in a row.", 1, uint32, { default: 5 }),
    consecutiveGatewayFailure: whole("502, 503 and 504 in a row.", 1, uint32, { default: 5 }),
    consecutiveLocalOriginFailure: whole(
      "Failed connections, resets and timeouts in a row, where these are counted apart.",
      1,
      uint32,
      { default: 5 },
    ),
    splitExternalLocalOriginErrors: flag("Count what the proxy itself saw apart from what the endpoint answered.", {
      default: false,
    }),
    interval: duration("Time between two looks at the statistics.", { default: "10s" }),
    baseEjectionTime: duration("Time out for the first ejection; the n-th lasts n times as long.", { default: "30s" }),
    maxEjectionTime: duration("The longest time out.", { default: "300s" }),
    maxEjectionPercent: percent("Share of the endpoints that may be out at the same time.", { default: 10 }),
    alwaysEjectOneHost: flag(
      "One endpoint may be out whatever maxEjectionPercent says: wanted for services of fewer than ten endpoints.",
      { default: false },
    ),
    enforcingConsecutive5xx: percent("Chance that consecutive5xx ejects.", { default: 100 }),
    enforcingConsecutiveGatewayFailure: percent("Chance that consecutiveGatewayFailure ejects.", { default: 0 }),
    enforcingConsecutiveLocalOriginFailure: percent("Chance that consecutiveLocalOriginFailure ejects.", {
      default: 100,
    }),
    enforcingSuccessRate: percent("Chance that a success rate far below the others' ejects.", { default: 100 }),
    successRateMinimumHosts: whole("Endpoints with enough requests before success rates are compared.", 1, uint32, {
      default: 5,
    }),
    successRateRequestVolume: whole("Requests in an interval that are enough.", 1, uint32, { default: 100 }),
    successRateStdevFactor: whole("Thousandths of a standard deviation below the mean that are too far.", 0, uint32, {
      default: 1900,
    }),
    enforcingFailurePercentage: percent("Chance that failurePercentageThreshold ejects.", { default: 0 }),
    failurePercentageThreshold: percent("Share of failed requests of one endpoint.", { default: 85 }),
    failurePercentageMinimumHosts: whole("Endpoints with enough requests before shares count.", 1, uint32, {
      default: 5,
    }),
    failurePercentageRequestVolume: whole("Requests in an interval that are enough.", 1, uint32, { default: 50 }),
  },
  { "x-kubernetes-validations": [notLonger("baseEjectionTime", "maxEjectionTime")] },
);

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

const loadBalancing = record(
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

const healthCheck = record(
  "Asks each endpoint regularly whether it is well.",
  {
    http: optional(
      record("Asks by GET.", {
        path: formatted("absolutePath", "The path."),
        host: optional(
          formatted("preciseHostname", "The Host header.", { "x-heddle-absent": "the name of the service" }),
        ),
        expectedStatuses: list(whole("A status.", 100, 599), "Statuses that mean well.", 16, {
          "x-kubernetes-list-type": "set",
          default: [200],
        }),
      }),
    ),
    grpc: optional(
      record("Asks by grpc.health.v1.", {
        service: optional(text("The service to ask about.", { maxLength: 253, "x-heddle-absent": "the whole server" })),
      }),
    ),
    tcp: optional(record("Opens a connection.", {})),
    port: optional(port("Port to ask.", { "x-heddle-absent": "the endpoint's" })),
    interval: duration("Time between two questions.", { default: "5s" }),
    timeout: duration("Time for the answer.", { default: "2s" }),
    unhealthyThreshold: whole("Failures in a row that take the endpoint out.", 1, 100, { default: 3 }),
    healthyThreshold: whole("Successes in a row that bring it back.", 1, 100, { default: 2 }),
  },
  {
    "x-kubernetes-validations": [
      exactlyOneOf("http", "grpc", "tcp"),
      {
        rule: "duration(self.interval) > duration('0s')",
        message: "interval must be more than 0s",
        fieldPath: ".interval",
      },
    ],
  },
);

/** The blocks that both kinds have. */
export const trafficBlocks = {
  timeouts: optional(timeouts),
  retries: optional(retries),
  circuitBreaker: optional(circuitBreaker),
  connectionLimits: optional(connectionLimits),
  outlierDetection: optional(outlierDetection),
  loadBalancing: optional(loadBalancing),
  healthCheck: optional(healthCheck),
};

export type Timeouts = Immutable<Static<typeof timeouts>>;
export type Retries = Immutable<Static<typeof retries>>;
export type CircuitBreaker = Immutable<Static<typeof circuitBreaker>>;
export type ConnectionLimits = Immutable<Static<typeof connectionLimits>>;
export type OutlierDetection = Immutable<Static<typeof outlierDetection>>;
export type LoadBalancing = Immutable<Static<typeof loadBalancing>>;
export type HealthCheck = Immutable<Static<typeof healthCheck>>;
