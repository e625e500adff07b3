// A request for a host that its table does not have yet, where the table's hosts come on demand (VHDS): it waits for the answer.
import type { CompiledRouteTable } from "#proxy/route/route-table.ts";

import type { HttpExchange } from "./exchange.ts";
import { replyLookupFailed } from "./replies.ts";

/** Asks once; true when the exchange waits. `goOn` chooses again, in the table that is then in force. */
export function waitsForHost(exchange: HttpExchange, table: CompiledRouteTable, goOn: () => void): boolean {
  const { request, service } = exchange;
  const authority = request.get(":authority") ?? "";
  if (!table.config.onDemand || service.lookUpHost === undefined || exchange.hasLookedUp) return false;
  if (authority === "" || authority.includes("/") || table.hasHost(authority)) return false;
  exchange.hasLookedUp = true;
  request.detach();
  service.lookUpHost(table.config.name, authority, (failure) => {
    if (exchange.isOver || exchange.localReply !== undefined) return;
    if (failure === undefined) goOn();
    else exchange.answer(replyLookupFailed(authority, failure));
  });
  return true;
}
