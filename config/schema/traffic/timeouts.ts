// The block `timeouts` of TrafficPolicy: limits of time.

import type { Static } from "typebox";
import { duration, notLonger, optional, record } from "../fields.ts";
import type { Immutable } from "../structural.ts";

/** What holds where no policy sets a timeout. `request` and `backendRequest` have none: a limit would cut streams that are meant to last. */
export const timeoutDefaults = { idle: "5m", connect: "5s", connectionIdle: "1h" } as const;

export const timeouts = record(
  "Limits of time. The only block that merges field by field: the most specific policy that sets a field wins.",
  {
    request: optional(
      duration("From the end of the request to the end of the answer, all attempts together. 0s is no limit.", {
        "x-heddle-absent": "no limit",
      }),
    ),
    backendRequest: optional(duration("For one attempt.", { "x-heddle-absent": "no limit" })),
    backendIdle: optional(
      duration("For one attempt on which its endpoint sends nothing, before its answer and within it.", {
        "x-heddle-absent": "no limit",
      }),
    ),
    stream: optional(
      duration(
        "From the beginning of a request, whatever moves on it: also streams that are busy end then. 0s is no limit.",
        {
          "x-heddle-absent": "no limit",
        },
      ),
    ),
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

export type Timeouts = Immutable<Static<typeof timeouts>>;
