// The session filter: the requests of one session go to one endpoint. The client carries the session; no proxy remembers any.
import { formatAddress } from "#config/model/address.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Clock } from "#lib/clock.ts";
import { endpointKey } from "#lib/session-key.ts";

import { CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { ENVOY_SESSION, ENVOY_SESSION_PER_ROUTE, HEDDLE_SESSION, parseSession, type SessionConfig } from "./config.ts";
import { formatSession, isBelow, readSession, type Session } from "./session.ts";

export const statefulSessionFilter = {
  name: "envoy.filters.http.stateful_session",
  typeUrls: [ENVOY_SESSION, ENVOY_SESSION_PER_ROUTE, HEDDLE_SESSION],
  failureMode: "open",
  perRoute: "settings",
  parse: parseSession,
  /** A session holds its backend too, whatever the weights say (GEP-1619). */
  bind: (config, head, clock) => readSession(config, head, secondsOf(clock))?.backend || undefined,
  make: makeFilter,
} satisfies FilterFactory<SessionConfig>;

interface State {
  readonly config: SessionConfig;
  readonly session: Session | undefined;
}

function makeFilter(own: SessionConfig, context: FilterContext): Filter {
  const { clock, name, listener } = context;
  const slot = context.slot();
  const counter = (result: string) =>
    context.metrics.counter(
      "heddle_sessions_total",
      "Answers to requests of routes with sessions, by what came of it.",
      {
        listener,
        result,
      },
    );
  const counters = { kept: counter("kept"), begun: counter("begun"), moved: counter("moved") };
  return {
    name,
    onRouted(exchange, head) {
      const override = exchange.override(name);
      if (override?.isDisabled === true) return CONTINUE;
      const config = override === undefined ? own : (override.config as SessionConfig); // as: `parseSession` made it
      const { carrier } = config;
      // Before the path is rewritten.
      if (carrier !== undefined && isBelow(carrier, head))
        exchange.slots[slot] = { config, session: readSession(config, head, secondsOf(clock)) } satisfies State;
      return CONTINUE;
    },
    onPick(exchange, pick) {
      const state = stateOf(exchange);
      // A retry goes wherever the balancer says, as in Envoy.
      if (state?.session === undefined || exchange.attempts.length > 0 || pick.isMirror === true) return CONTINUE;
      if (exchange.isDiverted) return CONTINUE;
      pick.endpoint = state.session.endpoint;
      pick.isStrict = state.config.isStrict;
      return CONTINUE;
    },
    onResponseHead(exchange, head) {
      const state = stateOf(exchange);
      const attempt = exchange.attempts.at(-1);
      if (state === undefined || attempt?.endpoint === undefined || attempt.outcome?.kind !== "response")
        return CONTINUE;
      const { session } = state;
      const { carrier, lifetimeMs } = state.config;
      const endpoint = keyOf(exchange.cluster?.name ?? "", attempt.endpoint);
      if (session?.endpoint === endpoint && session.backend === exchange.backend) {
        counters.kept.add(1);
        return CONTINUE;
      }
      (session === undefined ? counters.begun : counters.moved).add(1);
      const untilSeconds = lifetimeMs === 0 ? 0 : secondsOf(clock) + Math.ceil(lifetimeMs / 1000);
      const value = formatSession({ backend: exchange.backend, endpoint, untilSeconds });
      if (carrier?.kind === "header") head.set(carrier.name, value);
      else if (carrier !== undefined) head.add("set-cookie", `${carrier.name}="${value}"${carrier.attributes}`);
      return CONTINUE;
    },
  };

  function stateOf(exchange: Exchange): State | undefined {
    return exchange.slots[slot] as State | undefined; // as: only this filter writes its slot
  }
}

/** Sessions outlive proxies, so their ends are told by the wall clock. */
function secondsOf(clock: Clock): number {
  return Math.floor(clock.wallMs() / 1000);
}

interface Known {
  readonly cluster: string;
  readonly key: string;
}

/** Digests that were made already. */
const known = new WeakMap<Endpoint, Known>();

function keyOf(cluster: string, endpoint: Endpoint): string {
  const before = known.get(endpoint);
  if (before?.cluster === cluster) return before.key;
  const key = endpointKey(cluster, formatAddress(endpoint));
  known.set(endpoint, { cluster, key });
  return key;
}
