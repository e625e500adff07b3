// The request's way through the filters; each of these says whether the exchange goes on.
import { ANSWERED, CONTINUE, PAUSE, REROUTE, type Verdict } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";
import { callRequestData, callRequestHead, callRequestTrailers, callRouted } from "./hooks.ts";
import type { Phase } from "./pausing.ts";

/** From the given filter on. */
export function runRequestHead(exchange: HttpExchange, from: number): boolean {
  const hooks = exchange.service.chain.onRequestHead;
  for (let i = from; i < hooks.length; i++) {
    const filter = hooks[i];
    if (filter !== undefined && !goesOn(exchange, callRequestHead(exchange, filter), "request-head", i)) return false;
  }
  return exchange.transforms === undefined || exchange.transforms.settle();
}

/** From the given filter on. */
export function runRouted(exchange: HttpExchange, from: number): boolean {
  const hooks = exchange.service.chain.onRouted;
  for (let i = from; i < hooks.length; i++) {
    const filter = hooks[i];
    if (filter !== undefined && !goesOn(exchange, callRouted(exchange, filter), "routed", i)) return false;
  }
  return exchange.transforms === undefined || exchange.transforms.settle();
}

/** To the body, through the filters and what they put before it. False: answered. */
export function passRequestData(
  exchange: HttpExchange,
  bytes: Buffer,
  start: number,
  end: number,
  last: boolean,
): boolean {
  if (!exchange.isTunnel && !runRequestData(exchange, bytes, start, end, last)) return false;
  if (exchange.transforms !== undefined) return exchange.transforms.receive(bytes, start, end, last);
  exchange.body.receive(bytes, start, end, last);
  return true;
}

/** Likewise. */
export function passRequestTrailers(exchange: HttpExchange, trailers: HeaderBlock): boolean {
  if (!runRequestTrailers(exchange, trailers)) return false;
  if (exchange.transforms !== undefined) return exchange.transforms.receiveTrailers(trailers);
  exchange.body.receiveTrailers(trailers);
  return true;
}

/** A pause holds the body back; what comes meanwhile is still looked at by all filters. */
function runRequestData(exchange: HttpExchange, bytes: Buffer, start: number, end: number, last: boolean): boolean {
  const hooks = exchange.service.chain.onRequestData;
  for (let i = 0; i < hooks.length; i++) {
    const filter = hooks[i];
    if (filter === undefined) continue;
    const verdict = callRequestData(exchange, filter, bytes, start, end, last);
    if (verdict === PAUSE) {
      exchange.body.hold();
      exchange.pause("request-data", i);
    } else if (verdict === ANSWERED) {
      // These bytes are not kept.
      exchange.keepsForAnother = false;
      exchange.sendLocalReply();
      return false;
    }
  }
  return true;
}

function runRequestTrailers(exchange: HttpExchange, trailers: HeaderBlock): boolean {
  const hooks = exchange.service.chain.onRequestTrailers;
  for (let i = 0; i < hooks.length; i++) {
    const filter = hooks[i];
    if (filter === undefined || callRequestTrailers(exchange, filter, trailers) !== ANSWERED) continue;
    exchange.keepsForAnother = false;
    exchange.sendLocalReply();
    return false;
  }
  return true;
}

function goesOn(exchange: HttpExchange, verdict: Verdict, phase: Phase, index: number): boolean {
  if (verdict === CONTINUE || verdict === REROUTE) return true;
  if (verdict === PAUSE) exchange.pause(phase, index);
  else exchange.sendLocalReply();
  return false;
}
