// The adaptive concurrency filter: refuses what a server could only queue, by watching how latency answers to concurrency.
import { ANSWERED, CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { Scoped } from "../scoped.ts";

import { ADAPTIVE_CONCURRENCY, parseAdaptiveConcurrency, type AdaptiveConcurrencyConfig } from "./config.ts";
import { GRADIENT_CELLS, GRADIENT_SHARES, GradientController } from "./gradient.ts";

export const adaptiveConcurrencyFilter = {
  name: "envoy.filters.http.adaptive_concurrency",
  typeUrls: [ADAPTIVE_CONCURRENCY],
  failureMode: "open",
  perRoute: "settings",
  parse: parseAdaptiveConcurrency,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<AdaptiveConcurrencyConfig>;

interface Limited {
  readonly config: AdaptiveConcurrencyConfig;
  /** Undefined: it is not enabled. */
  readonly controller: GradientController | undefined;
}

interface Running {
  readonly controller: GradientController;
  readonly startMs: number;
}

function makeFilter(base: AdaptiveConcurrencyConfig, context: FilterContext): Filter {
  const { clock } = context;
  const slot = context.slot();
  const limited = new Scoped<AdaptiveConcurrencyConfig, Limited>(
    context.name,
    context.listener,
    base,
    (config, scope) => ({
      config,
      controller: config.isEnabled ? makeController(config, scope, context) : undefined,
    }),
  );
  const blocked = context.metrics.counter(
    "heddle_adaptive_concurrency_blocked_total",
    "Requests beyond the concurrency at which latency stays near its ideal.",
    { listener: context.listener },
  );
  return {
    name: context.name,
    onRouted(exchange) {
      const state = limited.of(exchange);
      const controller = state?.controller;
      // An opaque tunnel lasts as long as its client likes: that is no latency.
      if (state === undefined || controller === undefined || exchange.isTerminated) return CONTINUE;
      const startMs = clock.nowMs();
      if (controller.tryStart(startMs)) {
        exchange.slots[slot] = { controller, startMs } satisfies Running;
        return CONTINUE;
      }
      blocked.add(1);
      refuse(exchange, state.config, controller);
      return ANSWERED;
    },
    onDone(exchange) {
      const running = exchange.slots[slot] as Running | undefined; // as: only this filter writes its slot
      if (running === undefined) return;
      if (exchange.isAnswered && !exchange.isTunnel) running.controller.finish(running.startMs, clock.nowMs());
      else running.controller.cancel();
    },
  };
}

function makeController(config: AdaptiveConcurrencyConfig, scope: string, context: FilterContext): GradientController {
  const key = `adaptive-concurrency/${scope}/${config.definition}`;
  const controller = new GradientController(
    config.gradient,
    context.cells(key, GRADIENT_CELLS),
    context.shares(`${key}/running`, GRADIENT_SHARES),
    context.random,
    context.clock.nowMs(),
  );
  const { metrics, listener } = context;
  const labels = { listener, scope };
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(`heddle_adaptive_concurrency_${name}`, help, labels, read);
  gauge("limit", "How many requests may run at once now.", () => controller.limit);
  gauge("running", "How many requests run now.", () => controller.running);
  gauge("min_rtt_seconds", "The ideal latency.", () => controller.minRttUs / 1e6);
  gauge("sample_rtt_seconds", "The latency of the last window.", () => controller.sampleRttUs / 1e6);
  gauge("gradient", "What the limit was last multiplied with.", () => controller.gradient);
  gauge("measuring", "1 while the ideal latency is measured, at the least limit.", () =>
    Number(controller.isMeasuring),
  );
  return controller;
}

function refuse(exchange: Exchange, config: AdaptiveConcurrencyConfig, { limit }: GradientController): void {
  exchange.answer({
    status: config.status,
    flag: "UO",
    code: "concurrency_limit_reached",
    proxyStatus: "connection_limit_reached",
    detail: `reached concurrency limit: ${limit} requests may run at once`,
    isUnprocessed: true,
  });
}
