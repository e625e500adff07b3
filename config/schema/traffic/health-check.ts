// The block `healthCheck` of TrafficPolicy: asks each endpoint whether it is well.

import type { Static } from "typebox";
import {
  duration,
  exactlyOneOf,
  flag,
  formatted,
  list,
  optional,
  percent,
  port,
  record,
  text,
  whole,
} from "../fields.ts";
import type { Immutable } from "../structural.ts";

export const healthCheck = record(
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
        retriableStatuses: optional(
          list(
            whole("A status.", 100, 599),
            "Statuses that count towards unhealthyThreshold; any other that is not expected takes the endpoint out at once.",
            16,
            { "x-kubernetes-list-type": "set", minItems: 1 },
          ),
        ),
      }),
    ),
    grpc: optional(
      record("Asks by grpc.health.v1.", {
        service: optional(text("The service to ask about.", { maxLength: 253, "x-heddle-absent": "the whole server" })),
      }),
    ),
    tcp: optional(
      record("Opens a connection, and says something where `send` is set.", {
        send: optional(text("What is sent.", { minLength: 1, maxLength: 1024 })),
        receive: optional(
          list(
            text("A part.", { minLength: 1, maxLength: 1024 }),
            "Parts that the answer must have, in this order; anything may be between them.",
            8,
            { minItems: 1 },
          ),
        ),
      }),
    ),
    port: optional(
      port("Port to ask. Instances with a sidecar are asked through it, at the port of the service.", {
        "x-heddle-absent": "the endpoint's",
      }),
    ),
    interval: duration("Time between two questions.", { default: "5s" }),
    jitter: percent("Up to this share of the time is added, by chance, so that not all proxies ask at once.", {
      default: 10,
    }),
    noTrafficInterval: duration("Time between two questions while the service has had no request from this proxy.", {
      default: "60s",
    }),
    unhealthyInterval: optional(
      duration("Time between two questions to an endpoint that is not well.", { "x-heddle-absent": "interval" }),
    ),
    reuseConnection: flag("HTTP and gRPC: ask on a connection that is kept.", { default: true }),
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
      {
        rule: "duration(self.noTrafficInterval) > duration('0s')",
        message: "noTrafficInterval must be more than 0s",
        fieldPath: ".noTrafficInterval",
      },
      {
        rule: "!has(self.unhealthyInterval) || duration(self.unhealthyInterval) > duration('0s')",
        message: "unhealthyInterval must be more than 0s",
        fieldPath: ".unhealthyInterval",
      },
    ],
  },
);

export type HealthCheck = Immutable<Static<typeof healthCheck>>;
