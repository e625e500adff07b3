// A filter that is in a chain but off (Envoy: `HttpFilter.disabled`), until the settings of a route turn it on.
import { CONTINUE, type Filter } from "./filter.ts";

/** The same filter, called only for exchanges whose route has settings for it. What it would say of connections is not asked. */
export function dormant(filter: Filter): Filter {
  const { name } = filter;
  const gated: { -readonly [K in keyof Filter]: Filter[K] } = { name };
  if (filter.onRequestHead !== undefined)
    gated.onRequestHead = (exchange, head, end) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onRequestHead?.(exchange, head, end) ?? CONTINUE);
  if (filter.onRouted !== undefined)
    gated.onRouted = (exchange, head) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onRouted?.(exchange, head) ?? CONTINUE);
  if (filter.onPick !== undefined)
    gated.onPick = (exchange, pick) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onPick?.(exchange, pick) ?? CONTINUE);
  if (filter.onAttemptStart !== undefined)
    gated.onAttemptStart = (exchange, attempt, head) => {
      if (exchange.override(name) !== undefined) filter.onAttemptStart?.(exchange, attempt, head);
    };
  if (filter.onAttemptEnd !== undefined)
    gated.onAttemptEnd = (exchange, attempt) =>
      exchange.override(name) === undefined ? undefined : filter.onAttemptEnd?.(exchange, attempt);
  if (filter.onResponseHead !== undefined)
    gated.onResponseHead = (exchange, head, end) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onResponseHead?.(exchange, head, end) ?? CONTINUE);
  if (filter.onRequestData !== undefined)
    gated.onRequestData = (exchange, bytes, start, end, last) =>
      exchange.override(name) === undefined
        ? CONTINUE
        : (filter.onRequestData?.(exchange, bytes, start, end, last) ?? CONTINUE);
  if (filter.onResponseData !== undefined)
    gated.onResponseData = (exchange, bytes, start, end, last) =>
      exchange.override(name) === undefined
        ? CONTINUE
        : (filter.onResponseData?.(exchange, bytes, start, end, last) ?? CONTINUE);
  if (filter.onRequestTrailers !== undefined)
    gated.onRequestTrailers = (exchange, trailers) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onRequestTrailers?.(exchange, trailers) ?? CONTINUE);
  if (filter.onResponseTrailers !== undefined)
    gated.onResponseTrailers = (exchange, trailers) =>
      exchange.override(name) === undefined ? CONTINUE : (filter.onResponseTrailers?.(exchange, trailers) ?? CONTINUE);
  if (filter.onDone !== undefined)
    gated.onDone = (exchange) => {
      if (exchange.override(name) !== undefined) filter.onDone?.(exchange);
    };
  return gated;
}
