// Finds the application that does not forward trace context: it gets traced requests and sends untraced ones.
import type { HttpExchange } from "#proxy/stream/exchange.ts";

export interface TraceFindings {
  /** Requests that came into the application with our trace context (all inbound requests have it). */
  readonly received: number;
  /** Requests that the application sent with a trace context that had come in. */
  readonly sentInTrace: number;
  /** Requests that it sent without any. */
  readonly sentWithout: number;
}

/** With fewer requests than this nothing is said. */
const ENOUGH = 20;

export class TraceWatch {
  #received = 0;
  #sentInTrace = 0;
  #sentWithout = 0;

  see(exchange: HttpExchange): void {
    if (exchange.trace.traceId === "") return;
    if (exchange.connection.direction === "inbound") this.#received++;
    else if (exchange.connection.direction === "outbound") {
      if (exchange.trace.parentSpanId === "") this.#sentWithout++;
      else this.#sentInTrace++;
    }
  }

  get findings(): TraceFindings {
    return { received: this.#received, sentInTrace: this.#sentInTrace, sentWithout: this.#sentWithout };
  }
}

/** "orders received 500 traced requests and sent 0 of 500 with their context"; undefined when there is nothing to say. */
export function describeFindings(application: string, findings: TraceFindings): string | undefined {
  const { received, sentInTrace, sentWithout } = findings;
  if (received < ENOUGH || sentWithout < ENOUGH || sentInTrace > sentWithout) return undefined;
  return `${application} received ${received} traced requests and sent ${sentInTrace} of ${sentInTrace + sentWithout} with their trace context: it does not forward traceparent`;
}
