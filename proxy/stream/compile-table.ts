// Compiles a route table for exchanges: the routes, and the formats of the header values that they set.
import type { HeaderMutations, RouteScope, RouteTable } from "#config/model/route.ts";
import type { SharedRouteTable } from "#config/xds/plain/packed-hosts.ts";
import { describeError } from "#lib/errors.ts";
import { CompiledRouteTable, type OverrideParser } from "#proxy/route/route-table.ts";

import { compileFormat } from "./format.ts";

/** Throws with the route's name when something does not compile; see `CompiledRouteTable` for `used`. */
export function compileRouteTable(
  config: RouteTable | SharedRouteTable,
  parseOverride: OverrideParser,
  used?: Set<string>,
): CompiledRouteTable {
  checkScope(config, `route table "${config.name}"`);
  // Plain hosts have no formats.
  for (const host of "packed" in config ? config.packed.others.values() : config.virtualHosts) {
    checkScope(host, `virtual host "${host.name}"`);
    for (const route of host.routes) {
      const name = `route "${route.name}" of virtual host "${host.name}"`;
      checkScope(route, name);
      if (route.action.kind !== "forward" || route.action.target.kind !== "weighted") continue;
      for (const cluster of route.action.target.clusters) checkScope(cluster, `cluster "${cluster.name}" of ${name}`);
    }
  }
  return new CompiledRouteTable(config, parseOverride, used);
}

function checkScope({ requestHeaders, responseHeaders }: RouteScope, owner: string): void {
  checkMutations(requestHeaders, owner);
  checkMutations(responseHeaders, owner);
}

function checkMutations({ set, add, addIfAbsent }: HeaderMutations, owner: string): void {
  for (const { name, value } of [...set, ...add, ...addIfAbsent]) {
    try {
      compileFormat(value);
    } catch (cause) {
      throw new Error(`Cannot compile ${owner}: header "${name}": ${describeError(cause)}`, { cause });
    }
  }
}
