// What a connection cannot change any more once it is accepted: TLS, its chain's match, codec, limits.
import type { FilterChain, Listener } from "#config/model/listener.ts";

/** Equal text: connections accepted under one of the two may live on under the other. */
export function connectionShape(listener: Listener): string {
  // A rate is for connections that come.
  const {
    filterChains,
    defaultFilterChain,
    connectionRate: _rate,
    address,
    additionalAddresses: _more,
    ...rest
  } = listener;
  // Without a socket, addresses say which connections come, too: those of one instance do not end because another went.
  const place = listener.bindToPort ? address : undefined;
  return JSON.stringify([
    rest,
    place,
    filterChains.map(chainShape),
    defaultFilterChain && chainShape(defaultFilterChain),
  ]);
}

function chainShape({ network, connectionLimit: _limit, ...chain }: FilterChain): object {
  if (network.kind === "tcp") {
    const { accessLogs: _accessLogs, ...tcp } = network.tcp;
    return { chain, tcp };
  }
  // Each request looks these up anew.
  const { filters: _filters, routes: _routes, accessLogs: _logs, tracing: _tracing, ...http } = network.http;
  return { chain, http };
}
