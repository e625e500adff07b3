// Hands finished spans to the OpenTelemetry SDK, which batches and exports them over OTLP. The SDK is loaded with the first span:
// a proxy that samples nothing pays nothing for it. The only door through which OpenTelemetry enters.
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";

import type { SpanRecord } from "./records.ts";

export interface SpanExporterOptions {
  /** `http://127.0.0.1:4318` (the path `/v1/traces` is added) or `http://127.0.0.1:4317` for gRPC. */
  readonly endpoint: string;
  readonly protocol: "grpc" | "http";
  readonly serviceName: string;
  readonly nodeId: string;
  readonly log: Log;
}

interface Sdk {
  readonly emit: (span: SpanRecord) => void;
  readonly shutDown: () => Promise<void>;
}

/** Spans that wait while the SDK loads. */
const MAX_WAITING = 2048;

export class OtlpSpanExporter {
  readonly #options: SpanExporterOptions;
  #sdk: Sdk | undefined;
  #loading: Promise<void> | undefined = undefined;
  #waiting: SpanRecord[] = [];
  exported = 0;
  dropped = 0;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  export(spans: readonly SpanRecord[]): void {
    if (this.#sdk !== undefined) {
      for (const span of spans) this.#sdk.emit(span);
      this.exported += spans.length;
      return;
    }
    if (this.#waiting.length + spans.length > MAX_WAITING) this.dropped += spans.length;
    else this.#waiting.push(...spans);
    this.#loading ??= loadSdk(this.#options).then(
      (sdk) => {
        this.#sdk = sdk;
        this.export(this.#waiting.splice(0));
      },
      (error: unknown) => this.#options.log.error("spans cannot be exported", { reason: describeError(error) }),
    );
  }

  /** Exports what waits; whether that can be had or not, a drain goes on. */
  async shutDown(): Promise<void> {
    await this.#loading;
    try {
      await this.#sdk?.shutDown();
    } catch (error) {
      this.#options.log.warn("the last spans could not be exported", { reason: describeError(error) });
    }
  }
}

async function loadSdk(options: SpanExporterOptions): Promise<Sdk> {
  const [{ NodeSDK }, { BatchSpanProcessor }, api] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/api"),
  ]);
  const exporter =
    options.protocol === "grpc"
      ? new (await import("@opentelemetry/exporter-trace-otlp-grpc")).OTLPTraceExporter({ url: options.endpoint })
      : new (await import("@opentelemetry/exporter-trace-otlp-proto")).OTLPTraceExporter({
          url: tracesUrl(options.endpoint),
          // A batch a second is not worth the race with a receiver that is just closing an idle connection.
          httpAgentOptions: { keepAlive: false },
        });
  const { log } = options;
  const say =
    (level: "error" | "warn" | "debug") =>
    (message: string, ...details: unknown[]): void =>
      log[level]("the OpenTelemetry SDK says", { said: message, details: details.map(String) });
  api.diag.setLogger(
    { error: say("error"), warn: say("warn"), info: say("debug"), debug: say("debug"), verbose: () => undefined },
    api.DiagLogLevel.INFO,
  );
  // The ids were given on the hot path; the generator hands them to the SDK's span.
  let next: SpanRecord | undefined;
  const sdk = new NodeSDK({
    serviceName: options.serviceName,
    autoDetectResources: false,
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
    textMapPropagator: null,
    idGenerator: { generateTraceId: () => next?.traceId ?? "", generateSpanId: () => next?.spanId ?? "" },
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 1000 })],
  });
  sdk.start();
  const tracer = api.trace.getTracer("heddle");
  return {
    emit(span) {
      next = span;
      const parent =
        span.parentSpanId === ""
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, {
              traceId: span.traceId,
              spanId: span.parentSpanId,
              traceFlags: api.TraceFlags.SAMPLED,
              isRemote: true,
              ...(span.traceState === "" ? {} : { traceState: api.createTraceState(span.traceState) }),
            });
      const made = tracer.startSpan(
        span.name,
        {
          kind: span.kind === "server" ? api.SpanKind.SERVER : api.SpanKind.CLIENT,
          startTime: span.startMs,
          attributes: { ...span.attributes, "heddle.node": options.nodeId },
        },
        parent,
      );
      if (span.isError) made.setStatus({ code: api.SpanStatusCode.ERROR });
      made.end(span.endMs);
    },
    shutDown: () => sdk.shutdown(),
  };
}

function tracesUrl(endpoint: string): string {
  return endpoint.endsWith("/v1/traces") ? endpoint : `${endpoint.replace(/\/$/, "")}/v1/traces`;
}
