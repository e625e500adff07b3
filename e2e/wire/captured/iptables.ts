// iptables and ip: fetched before the network namespace is entered, since nothing can be fetched from inside of it.
import { type DebianPrograms, getDebianPrograms } from "../../debian.ts";
import { IPTABLES_PACKAGES } from "../../../scripts/image/iptables.ts";

export function getIptables(): DebianPrograms {
  return getDebianPrograms({
    name: "iptables",
    packages: [...IPTABLES_PACKAGES, "iproute2", "libbpf1", "libelf1", "libbsd0", "libmd0", "libcap2"],
    folders: ["usr/sbin", "sbin", "bin"],
    program: "iptables-nft",
  });
}
