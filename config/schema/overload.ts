// MeshConfig.spec.overload: the protection of every server from what comes in.

import type { Static } from "typebox";
import { decimal, duration, optional, record, whole } from "./fields.ts";
import type { Immutable } from "./structural.ts";

const absent = { "x-heddle-absent": "no limit" };

export const overload = record(
  "Every sidecar refuses what comes in (503, Retry-After) while its server is overloaded, as Sentinel's system rules do. Beyond load1, cpuPercent or eventLoopDelay it takes no more at once than the server could do at its best in the last ten seconds.",
  {
    load1: optional(decimal("The load average of the last minute.", 0, 10_000, absent)),
    cpuPercent: optional(
      whole("Share of the processors that the container (or else the process) may use.", 1, 100, absent),
    ),
    eventLoopDelay: optional(
      duration("How late the event loop of the proxy's own thread is, nine times of ten.", absent),
    ),
    averageRt: optional(duration("The average time of the last second's requests.", absent)),
    qps: optional(whole("Requests that come in a second.", 1, 2 ** 31 - 1, absent)),
    concurrency: optional(whole("Requests that run at once.", 1, 2 ** 31 - 1, absent)),
    retryAfter: duration("What `Retry-After` says, in whole seconds.", { default: "1s" }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "has(self.load1) || has(self.cpuPercent) || has(self.eventLoopDelay) || has(self.averageRt) || has(self.qps) || has(self.concurrency)",
        message: "at least one of load1, cpuPercent, eventLoopDelay, averageRt, qps, concurrency must be set",
      },
      {
        rule: "duration(self.retryAfter) >= duration('1s') && duration(self.retryAfter) <= duration('1h')",
        message: "retryAfter must be between 1s and 1h",
        fieldPath: ".retryAfter",
      },
    ],
  },
);

export type OverloadProtection = Immutable<Static<typeof overload>>;
