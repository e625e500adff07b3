// The blocks of TrafficPolicy; MeshConfig.spec.defaults has the same ones. Defaults are Envoy's, if the field does not name another source.

import { optional } from "../fields.ts";
import { adaptiveConcurrency } from "./adaptive-concurrency.ts";
import { admissionControl } from "./admission-control.ts";
import { bulkhead } from "./bulkhead.ts";
import { backends } from "./backends.ts";
import { circuitBreaker } from "./circuit-breaker.ts";
import { connectionLimits } from "./connection-limits.ts";
import { healthCheck } from "./health-check.ts";
import { hedging } from "./hedging.ts";
import { loadBalancing } from "./load-balancing.ts";
import { outlierDetection } from "./outlier-detection.ts";
import { retries } from "./retries.ts";
import { timeouts } from "./timeouts.ts";

/** The blocks that both kinds have. */
export const trafficBlocks = {
  timeouts: optional(timeouts),
  retries: optional(retries),
  hedging: optional(hedging),
  backends: optional(backends),
  circuitBreaker: optional(circuitBreaker),
  adaptiveConcurrency: optional(adaptiveConcurrency),
  admissionControl: optional(admissionControl),
  bulkhead: optional(bulkhead),
  connectionLimits: optional(connectionLimits),
  outlierDetection: optional(outlierDetection),
  loadBalancing: optional(loadBalancing),
  healthCheck: optional(healthCheck),
};
