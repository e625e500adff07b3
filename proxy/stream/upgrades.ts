// Which upgrades pass: the route's word over the listener's (Envoy `upgrade_configs` of both).
import type { HttpConnectionManager } from "#config/model/listener.ts";
import type { ForwardAction } from "#config/model/route.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** `request` is an upgrade or CONNECT; names have no case. */
export function allowsUpgrade(
  action: ForwardAction,
  config: Pick<HttpConnectionManager, "upgrades">,
  request: HeaderBlock,
): boolean {
  const isConnect = request.get(":method") === "CONNECT";
  const name = ((isConnect ? request.get(":protocol") : request.get("upgrade")) ?? "CONNECT").toLowerCase();
  const said = action.upgrades.find((upgrade) => upgrade.name.toLowerCase() === name);
  return said?.enabled ?? config.upgrades.some((upgrade) => upgrade.toLowerCase() === name);
}
