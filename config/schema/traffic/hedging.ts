// The block `hedging` of TrafficPolicy: a second attempt beside one that is slow.

import { duration, record, whole } from "../fields.ts";

export const hedging = record(
  "An idempotent request (or one with `Idempotency-Key`) without an answer after a while goes to another instance too; the first good answer is taken, and the other attempt is reset. Within the budget of retries.",
  {
    delay: duration(
      "How long an attempt has no answer before another one begins. Something like the 95th percentile keeps the load low.",
    ),
    maxAttempts: whole("Attempts that a request may make so, the first one included.", 2, 5, { default: 2 }),
  },
  {
    "x-kubernetes-validations": [
      { rule: "duration(self.delay) > duration('0s')", message: "delay must be more than 0s", fieldPath: ".delay" },
    ],
  },
);
