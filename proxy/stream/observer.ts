// Who is told when an exchange is over: access log, metrics, spans and the explain record are made from it.
import type { HttpExchange } from "./exchange.ts";

export interface ExchangeObserver {
  /** Once per exchange; it must copy what it keeps. */
  onExchangeDone(exchange: HttpExchange): void;
}
