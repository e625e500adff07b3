// The block `healthCheck` of TrafficPolicy: asks each endpoint whether it is well.

import type { Static } from "typebox";
import { duration, exactlyOneOf, formatted, list, optional, port, record, text, whole } from "../fields.ts";
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

export type HealthCheck = Immutable<Static<typeof healthCheck>>;
