// The block `connectionLimits` of TrafficPolicy: bounds of one proxy towards one service.

import type { Static } from "typebox";
import { duration, optional, record, whole } from "../fields.ts";
import type { Immutable } from "../structural.ts";

const uint32 = 2 ** 32 - 1;

export const connectionLimits = record(
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

export type ConnectionLimits = Immutable<Static<typeof connectionLimits>>;
