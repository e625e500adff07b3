// One small function per hook: calls it for one filter, and turns a throw into what the filter's failure mode says. No closures
// here: this is run for every filter of every request.
import { ANSWERED, CONTINUE, type Filter, type Pick, type RetryVerdict, type Verdict } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import type { HttpExchange } from "./exchange.ts";
import { replyFilterError } from "./replies.ts";

/** A filter that has the hook. */
export type Having<K extends keyof Filter> = Filter & { readonly [P in K]-?: NonNullable<Filter[P]> };

export function callRequestHead(exchange: HttpExchange, filter: Having<"onRequestHead">): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onRequestHead(exchange, exchange.request, exchange.body.isComplete);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callRouted(exchange: HttpExchange, filter: Having<"onRouted">): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onRouted(exchange, exchange.request);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callPick(exchange: HttpExchange, filter: Having<"onPick">, pick: Pick): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onPick(exchange, pick);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callAttemptStart(
  exchange: HttpExchange,
  filter: Having<"onAttemptStart">,
  attempt: UpstreamAttempt,
  head: HeaderBlock,
): Verdict {
  exchange.isInHook = true;
  try {
    filter.onAttemptStart(exchange, attempt, head);
    return CONTINUE;
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

/** A filter that throws here wants no other attempt. */
export function callAttemptEnd(
  exchange: HttpExchange,
  filter: Having<"onAttemptEnd">,
  attempt: UpstreamAttempt,
): RetryVerdict {
  try {
    return filter.onAttemptEnd(exchange, attempt);
  } catch (error) {
    exchange.service.log.error("a filter threw", { filter: filter.name, requestId: exchange.requestId, error });
    return undefined;
  }
}

export function callResponseHead(
  exchange: HttpExchange,
  filter: Having<"onResponseHead">,
  head: HeaderBlock,
  end: boolean,
): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onResponseHead(exchange, head, end);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callRequestData(
  exchange: HttpExchange,
  filter: Having<"onRequestData">,
  bytes: Buffer,
  start: number,
  end: number,
  last: boolean,
): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onRequestData(exchange, bytes, start, end, last);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callResponseData(
  exchange: HttpExchange,
  filter: Having<"onResponseData">,
  bytes: Buffer,
  start: number,
  end: number,
  last: boolean,
): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onResponseData(exchange, bytes, start, end, last);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callRequestTrailers(
  exchange: HttpExchange,
  filter: Having<"onRequestTrailers">,
  trailers: HeaderBlock,
): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onRequestTrailers(exchange, trailers);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callResponseTrailers(
  exchange: HttpExchange,
  filter: Having<"onResponseTrailers">,
  trailers: HeaderBlock,
): Verdict {
  exchange.isInHook = true;
  try {
    return filter.onResponseTrailers(exchange, trailers);
  } catch (error) {
    return onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

export function callDone(exchange: HttpExchange, filter: Having<"onDone">): void {
  exchange.isInHook = true;
  try {
    filter.onDone(exchange);
  } catch (error) {
    onError(exchange, filter, error);
  } finally {
    exchange.isInHook = false;
  }
}

/** What the filter's failure mode says. */
function onError(exchange: HttpExchange, filter: Filter, error: unknown): Verdict {
  const { service } = exchange;
  service.log.error("a filter threw", { filter: filter.name, requestId: exchange.requestId, error });
  if (service.failureModes.get(filter.name) === "open") return CONTINUE;
  if (!exchange.isMirroring) exchange.localReply ??= replyFilterError(filter.name, error);
  return ANSWERED;
}
