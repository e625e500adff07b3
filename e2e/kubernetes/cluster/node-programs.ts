// The programs of a node that come from Debian: containerd, runc, the CNI plugins, ip, nft. The machine's own, else unpacked.
import path from "node:path";

import { getDebianFile, getDebianPrograms } from "../../debian.ts";

export interface NodePrograms {
  /** Of the CNI plugins. */
  readonly cniFolder: string;
  /** A static busybox for test images. */
  readonly busybox: string;
  /** PATH for what runs in the cluster, and LD_LIBRARY_PATH where something was unpacked. */
  readonly env: Readonly<Record<string, string>>;
}

/** @throws {Error} that names the packages that can neither be found nor fetched. */
export function getNodePrograms(): NodePrograms {
  const groups = [
    getDebianPrograms({
      name: "containerd",
      packages: ["containerd", "runc", "libseccomp2"],
      folders: ["usr/bin", "usr/sbin"],
      program: "containerd",
    }),
    getDebianPrograms({
      name: "iproute2",
      packages: ["iproute2", "libbpf1", "libelf1", "libbsd0", "libmd0", "libcap2", "libmnl0"],
      folders: ["bin", "sbin"],
      program: "ip",
      versionFlag: "-V",
    }),
    getDebianPrograms({
      name: "nftables",
      packages: [
        "nftables",
        "libnftables1",
        "libnftnl11",
        "libmnl0",
        "libjansson4",
        "libgmp10",
        "libedit2",
        "libbsd0",
        "libmd0",
        "libxtables12",
      ],
      folders: ["usr/sbin", "sbin"],
      program: "nft",
    }),
  ];
  const bridge = getDebianFile("cni-plugins", ["containernetworking-plugins"], "/usr/lib/cni/bridge");
  const roots = groups.map(({ root }) => root).filter((root) => root !== undefined);
  const folders = roots.flatMap((root) => ["usr/bin", "usr/sbin", "bin", "sbin"].map((one) => path.join(root, one)));
  const libraries = groups.flatMap(({ root, env }) => (root === undefined ? [] : [env["LD_LIBRARY_PATH"] ?? ""]));
  const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return {
    cniFolder: path.dirname(bridge),
    busybox: getDebianFile("busybox-static", ["busybox-static"], "/bin/busybox"),
    env: {
      PATH: [...folders, process.env["PATH"] ?? "", system].join(":"),
      ...(libraries.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(":") }),
    },
  };
}
