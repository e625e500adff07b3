// The block `backends` of TrafficPolicy: how one of a rule's backends is chosen.

import { choice, record } from "../fields.ts";

export const backends = record("How one of the backends of a route's rule is chosen.", {
  choice: choice(
    ["random", "smooth"],
    "`random` draws for each request, as Envoy does. `smooth` gives turns: among as many requests as the weights add up to each backend has its weight, give or take one, for each worker of each proxy.",
    { default: "random" },
  ),
});
