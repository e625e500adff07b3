// The tracing filter: takes the caller's trace context or begins a trace, decides on sampling, and tells it on upstream.
import { CONTINUE, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { ConfigReader } from "../parse.ts";

import { formatTraceparent, makeSpanId, makeTraceId, readB3Decision, readTrace } from "./trace-context.ts";

export interface TraceContextConfig {
  /** Share of new traces that are sampled, in percent. */
  readonly samplingPercent: number;
  /** False at an untrusted edge: the caller's ids are kept, its sampling decision is not. */
  readonly trustsParent: boolean;
}

export const traceContextFilter = {
  name: "heddle.tracing",
  typeUrls: ["type.googleapis.com/heddle.filters.trace_context.v1.TraceContext"],
  failureMode: "open",
  perRoute: "nothing",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const config = {
      samplingPercent: reader.number("samplingPercent", 1, 0, 100),
      trustsParent: reader.boolean("trustsParent", true),
    };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<TraceContextConfig>;

function isB3(name: string): boolean {
  return name === "b3" || name.startsWith("x-b3-");
}

function makeFilter(config: TraceContextConfig, { name, random }: FilterContext): Filter {
  const decide = (): boolean => random.next() * 100 < config.samplingPercent;
  return {
    name,
    onRequestHead(exchange, head) {
      const trace = exchange.trace;
      const incoming = readTrace(head);
      trace.spanId = makeSpanId(random);
      if (incoming === undefined) {
        trace.traceId = makeTraceId(random);
        trace.parentSpanId = "";
        trace.isSampled = (config.trustsParent ? readB3Decision(head) : undefined) ?? decide();
        // What belongs to no trace, or to one that could not be read, must not go on beside the new one.
        head.delete("tracestate");
        head.deleteWhere(isB3);
        return CONTINUE;
      }
      trace.traceId = incoming.traceId;
      trace.parentSpanId = incoming.spanId;
      trace.isSampled = config.trustsParent && incoming.isSampled !== undefined ? incoming.isSampled : decide();
      if (incoming.format === "b3") head.delete("tracestate");
      else if (trace.isSampled) trace.traceState = head.getJoined("tracestate") ?? "";
      trace.hasB3 = incoming.format === "b3" || head.has("x-b3-traceid") || head.has("b3");
      return CONTINUE;
    },
    onAttemptStart(exchange, _attempt, head) {
      const { traceId, spanId, parentSpanId, isSampled, hasB3 } = exchange.trace;
      if (traceId === "") return;
      head.set("traceparent", formatTraceparent(traceId, spanId, isSampled));
      if (!hasB3) return;
      if (head.has("b3")) head.set("b3", `${traceId}-${spanId}-${isSampled ? "1" : "0"}`);
      if (!head.has("x-b3-traceid")) return;
      head.set("x-b3-traceid", traceId);
      head.set("x-b3-spanid", spanId);
      if (parentSpanId !== "") head.set("x-b3-parentspanid", parentSpanId);
      head.set("x-b3-sampled", isSampled ? "1" : "0");
    },
  };
}
