// The configuration of the overload filter: thresholds; what is not set protects from nothing.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader } from "../parse.ts";

export const OVERLOAD = "type.googleapis.com/heddle.filters.overload.v1.Overload";

export interface OverloadConfig {
  /** Beyond one of these three no more run at once than the server can do (`InboundStatistics.capacity`). */
  readonly load1: number;
  /** Of the processors that the proxy may use. */
  readonly cpuPercent: number;
  readonly eventLoopDelayMs: number;
  /** Beyond one of these everything is refused until it falls. */
  readonly averageRtMs: number;
  readonly qps: number;
  readonly concurrency: number;
  readonly retryAfterSeconds: number;
}

export function parseOverload(value: JsonValue): OverloadConfig {
  const reader = new ConfigReader(value, "");
  const threshold = (name: string): number =>
    reader.value(name) === undefined ? Infinity : reader.number(name, undefined, 0);
  const config = {
    load1: threshold("load1"),
    cpuPercent: threshold("cpuPercent"),
    eventLoopDelayMs: threshold("eventLoopDelayMs"),
    averageRtMs: threshold("averageRtMs"),
    qps: threshold("qps"),
    concurrency: threshold("concurrency"),
    retryAfterSeconds: reader.number("retryAfterSeconds", 1, 1, 3600),
  };
  reader.done();
  return config;
}
