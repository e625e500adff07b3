// A route table whose virtual hosts stay in the bytes in which they came, until somebody looks at them.
import type { FilterOverride } from "../../model/filter-config.ts";
import type { HeaderMutations, RouteTable, VirtualHost } from "../../model/route.ts";
import { HostReader, type PackedHosts, type SharedRouteTable } from "./packed-hosts.ts";

export class PackedRouteTable implements RouteTable {
  readonly name: string;
  readonly onDemand: boolean;
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
  readonly filterOverrides: readonly FilterOverride[];
  /** Without its hosts. */
  readonly head: RouteTable;
  /** As the workers get it. */
  readonly shared: SharedRouteTable;
  /** Hosts that the table before did not have and of which it is not known whether they compile; plain ones always do. */
  readonly unproven: readonly VirtualHost[];

  constructor(head: RouteTable, packed: PackedHosts, unproven: readonly VirtualHost[]) {
    const { name, onDemand, requestHeaders, responseHeaders, filterOverrides } = head;
    this.name = name;
    this.onDemand = onDemand;
    this.requestHeaders = requestHeaders;
    this.responseHeaders = responseHeaders;
    this.filterOverrides = filterOverrides;
    this.head = head;
    this.shared = { name, onDemand, requestHeaders, responseHeaders, filterOverrides, packed };
    this.unproven = unproven;
  }

  /** All of them, read anew at every call: for what is looked at seldom. */
  get virtualHosts(): readonly VirtualHost[] {
    const reader = new HostReader(this.shared.packed);
    return Array.from({ length: reader.count }, (_, host) => reader.read(host));
  }

  /** For `JSON.stringify`, to which a getter of the class is nothing. */
  toJSON(): RouteTable {
    return { ...this.head, virtualHosts: this.virtualHosts };
  }
}
