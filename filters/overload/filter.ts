// The overload filter: protects the whole server from what comes in, by the numbers of its system. Sentinel's system rules, and
// the delay of the event loop, which is a proxy's own.
import { ANSWERED, CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";

import { OVERLOAD, parseOverload, type OverloadConfig } from "./config.ts";
import { INBOUND_CELLS, InboundStatistics } from "./inbound-statistics.ts";

export const overloadFilter = {
  name: "heddle.overload",
  typeUrls: [OVERLOAD],
  failureMode: "open",
  perRoute: "off",
  parse: parseOverload,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<OverloadConfig>;

const HEALTH_SERVICE = "/grpc.health.v1.Health/";
const CHECKERS: readonly string[] = ["heddle-health", "Envoy/HC"];

function makeFilter(config: OverloadConfig, context: FilterContext): Filter {
  const { clock } = context;
  const slot = context.slot();
  // One for the whole proxy: it is one server.
  const statistics = new InboundStatistics(context.cells("overload/statistics", INBOUND_CELLS));
  const { total, own } = context.shares("overload/running", 1);
  const system = context.system();
  const refused = context.metrics.counter("heddle_overload_refused_total", "Requests refused by system protection.", {
    listener: context.listener,
  });
  return {
    name: context.name,
    onRequestHead(exchange) {
      if (exchange.isTerminated || isHealthCheck(exchange)) return CONTINUE;
      const nowMs = clock.nowMs();
      statistics.read(nowMs);
      const reason = whyNot(config, statistics, nowMs, Atomics.add(total, 0, 1), system);
      if (reason !== undefined) {
        Atomics.sub(total, 0, 1);
        refused.add(1);
        refuse(exchange, config, reason);
        return ANSWERED;
      }
      statistics.pass(nowMs);
      own[0] = (own[0] ?? 0) + 1;
      exchange.slots[slot] = nowMs;
      return CONTINUE;
    },
    onDone(exchange) {
      const startMs = exchange.slots[slot] as number | undefined; // as: only this filter writes its slot
      if (startMs === undefined) return;
      own[0] = (own[0] ?? 0) - 1;
      Atomics.sub(total, 0, 1);
      // How long a tunnel lasts is no latency.
      if (exchange.isAnswered && !exchange.isTunnel) statistics.done(startMs, clock.nowMs());
    },
  };
}

/** In Sentinel's order. Undefined: it may come in. */
function whyNot(
  config: OverloadConfig,
  statistics: InboundStatistics,
  nowMs: number,
  running: number,
  system: ReturnType<FilterContext["system"]>,
): string | undefined {
  const { averageRtMs, capacity } = statistics;
  if (config.qps !== Infinity && statistics.qps(nowMs) >= config.qps)
    return `${config.qps} requests came in within a second`;
  if (running >= config.concurrency) return `${running} requests run, of ${config.concurrency}`;
  if (averageRtMs > config.averageRtMs) return `requests take ${Math.round(averageRtMs)} ms on average`;
  // A system that is loaded still does what it can do at once, and no more; one request always may.
  if (running < 1 || running + 1 <= capacity) return undefined;
  if (system.load1 > config.load1) return `the load is ${system.load1.toFixed(2)}`;
  if (system.cpuPercent > config.cpuPercent) return `${Math.round(system.cpuPercent)} % of the processors are used`;
  if (system.eventLoopDelayMs > config.eventLoopDelayMs)
    return `the event loop is ${Math.round(system.eventLoopDelayMs)} ms late`;
  return undefined;
}

/** gRPC's health service, and active health checks of the mesh, which only a verified peer can claim to be. */
function isHealthCheck(exchange: Exchange): boolean {
  if (exchange.request.get(":path")?.startsWith(HEALTH_SERVICE) === true) return true;
  if (exchange.connection.peerIdentity === undefined) return false;
  const agent = exchange.request.get("user-agent");
  return agent !== undefined && CHECKERS.includes(agent);
}

function refuse(exchange: Exchange, { retryAfterSeconds }: OverloadConfig, reason: string): void {
  exchange.answer({
    status: 503,
    flag: "OM",
    code: "server_overloaded",
    proxyStatus: "connection_limit_reached",
    detail: `the server is overloaded: ${reason}`,
    rule: "MeshConfig default",
    headers: [["retry-after", String(retryAfterSeconds)]],
    isUnprocessed: true,
  });
}
