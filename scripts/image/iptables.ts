// iptables for the init image: the machine's own, else Debian's.
import fs from "node:fs";
import path from "node:path";

import { getDebianFile } from "../../e2e/debian.ts";
import type { IptablesPrograms } from "./contents.ts";

/** Debian 12's packages of iptables, with the libraries that a small image does not have. */
export const IPTABLES_PACKAGES = [
  "iptables",
  "libip4tc2",
  "libip6tc2",
  "libxtables12",
  "libnetfilter-conntrack3",
  "libnfnetlink0",
  "libnftnl11",
  "libmnl0",
];

/** @throws {Error} where there is neither iptables nor Debian's apt-get. */
export function getIptablesPrograms(): IptablesPrograms {
  const tool = getDebianFile("iptables", IPTABLES_PACKAGES, "/usr/sbin/xtables-nft-multi");
  const folder = path.dirname(tool);
  const libraries = path.join(folder, "..", "lib");
  const triplet = fs.readdirSync(libraries).find((name) => fs.existsSync(path.join(libraries, name, "xtables")));
  if (triplet === undefined) throw new Error(`Cannot find the extensions of ${tool} in ${libraries}`);
  const own = path.join(libraries, triplet);
  return {
    folder,
    extensions: path.join(own, "xtables"),
    extensionsAt: `/usr/lib/${triplet}/xtables`,
    env: { ...process.env, LD_LIBRARY_PATH: own },
  };
}
