// iptables and ip: fetched before the network namespace is entered, since nothing can be fetched from inside of it.
import { type DebianPrograms, getDebianPrograms } from "../../debian.ts";

export function getIptables(): DebianPrograms {
  return getDebianPrograms({
    name: "iptables",
    packages: [
      "iptables",
      "iproute2",
      "libbpf1",
      "libelf1",
      "libbsd0",
      "libmd0",
      "libcap2",
      "libip4tc2",
      "libip6tc2",
      "libxtables12",
      "libnetfilter-conntrack3",
      "libnfnetlink0",
      "libnftnl11",
      "libmnl0",
    ],
    folders: ["usr/sbin", "sbin", "bin"],
    program: "iptables-nft",
  });
}
