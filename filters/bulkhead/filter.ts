// The bulkhead filter: requests of a service, a route or a tenant have a number of places of their own, so that one that is slow
// cannot use up what the others need.
import { keyedSlotCells } from "#lib/keyed-slots.ts";

import {
  ANSWERED,
  CONTINUE,
  PAUSE,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
} from "../filter.ts";

import { Compartments, compartmentShares, type Stay } from "./compartments.ts";
import { BULKHEAD, parseBulkhead, type BulkheadConfig, type BulkheadKey } from "./config.ts";

export const bulkheadFilter = {
  name: "heddle.bulkhead",
  typeUrls: [BULKHEAD],
  failureMode: "open",
  perRoute: "settings",
  parse: parseBulkhead,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<BulkheadConfig>;

interface Bulkhead {
  readonly config: BulkheadConfig;
  readonly compartments: Compartments;
  readonly keyOf: (exchange: Exchange) => string;
}

/** What the slot of an exchange has. */
interface Inside {
  readonly compartments: Compartments;
  readonly stay: Stay;
}

function makeFilter(base: BulkheadConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const bulkheads = new WeakMap<BulkheadConfig, Bulkhead>();
  const refused = context.metrics.counter("heddle_bulkhead_refused_total", "Requests that found a bulkhead full.", {
    listener: context.listener,
  });
  const bulkheadOf = (config: BulkheadConfig): Bulkhead => {
    let bulkhead = bulkheads.get(config);
    if (bulkhead === undefined) bulkheads.set(config, (bulkhead = makeBulkhead(config, context)));
    return bulkhead;
  };
  // What a thread that died had running is given back when its successor makes the filter.
  if (base.scope !== "") bulkheadOf(base);
  return {
    name: context.name,
    onRouted(exchange) {
      const override = exchange.override(context.name);
      if (override?.isDisabled === true) return CONTINUE;
      const config = override === undefined ? base : (override.config as BulkheadConfig); // as: parse made it
      // A tunnel may have been opened in vain, and lasts as long as its client likes.
      if (config.scope === "" || exchange.isTerminated) return CONTINUE;
      const { compartments, keyOf } = bulkheadOf(config);
      const refuse = (): void => {
        refused.add(1);
        exchange.answer(fullReply(config));
      };
      const stay = compartments.enter(keyOf(exchange), () => void exchange.resume(), refuse);
      if (stay === undefined) {
        refuse();
        return ANSWERED;
      }
      exchange.slots[slot] = { compartments, stay } satisfies Inside;
      return stay.state === "running" ? CONTINUE : PAUSE;
    },
    onDone(exchange) {
      const inside = exchange.slots[slot] as Inside | undefined; // as: only this filter writes its slot
      inside?.compartments.leave(inside.stay);
    },
  };
}

/** Counts live under the scope and what divides them, so that a changed limit holds at once for what runs. */
function makeBulkhead(config: BulkheadConfig, context: FilterContext): Bulkhead {
  const { scope, per, maxKeys } = config;
  const key = `bulkhead/${context.direction}/${scope}/${JSON.stringify(per)}/${maxKeys}`;
  const keys = per.length === 0 ? 0 : maxKeys;
  // Kept, so that who waits under an old configuration is served under the new one.
  const compartments = context.keep(
    key,
    "",
    () =>
      new Compartments(
        config,
        context.clock,
        context.shares(key, compartmentShares(keys)),
        keys === 0 ? undefined : context.cells(`${key}/keys`, keyedSlotCells(keys)),
      ),
  );
  compartments.limits = config;
  const labels = { listener: context.listener, scope };
  context.metrics.gauge("heddle_bulkhead_running", "Requests inside a bulkhead.", labels, () => compartments.running);
  context.metrics.gauge("heddle_bulkhead_pending", "Requests that wait for one.", labels, () => compartments.pending);
  const readers = per.map(compileKey);
  const [only] = readers;
  const keyOf =
    only === undefined
      ? () => ""
      : readers.length === 1
        ? only
        : (exchange: Exchange) => readers.map((read) => read(exchange)).join("\u0000");
  return { config, compartments, keyOf };
}

function compileKey(key: BulkheadKey): (exchange: Exchange) => string {
  switch (key.type) {
    case "header":
      return (exchange) => exchange.request.getJoined(key.name) ?? "";
    case "tenant":
      return (exchange) => String(exchange.notes.get("tenant") ?? "");
    case "route":
      return (exchange) => exchange.route?.name ?? "";
    case "identity":
      return (exchange) => exchange.connection.peerIdentity ?? "";
    default:
      return key satisfies never;
  }
}

function fullReply({ scope, maxConcurrent, maxPending, per }: BulkheadConfig) {
  const whose =
    per.length === 0 ? "" : ` for each ${per.map((key) => ("name" in key ? key.name : key.type)).join(", ")}`;
  return {
    status: 503,
    flag: "UO",
    code: "bulkhead_full",
    proxyStatus: "connection_limit_reached",
    detail: `the bulkhead of ${scope} is full: ${maxConcurrent} may run and ${maxPending} wait${whose}`,
    rule: scope,
    headers: [["x-envoy-overloaded", "true"]],
    isUnprocessed: true,
  } as const;
}
