// Whether a captured request names another host than that whose address it was going to: the address decides, and the difference is
// counted, because it is mostly a mistake (contracts.md, "Host against original destination").
import { isIP } from "node:net";
import type { SocketAddress } from "#config/model/address.ts";

/** `hosts`: the names of what is at the destination; what is below one of them (a pod of a StatefulSet) is as good. */
export function namesAnotherHost(authority: string, hosts: readonly string[], destination: SocketAddress): boolean {
  const host = authority
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
  if (host === "" || hosts.includes(host)) return false;
  if (isIP(host) !== 0) return host !== destination.address;
  return !hosts.some((name) => host.endsWith(name) && host.at(-name.length - 1) === ".");
}
