// The images that tests need beside Heddle's own, made here with neither a registry nor a daemon.
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { makeRoot, makeServerLeaf } from "#control-plane/identity/certificates.ts";
import { writeImage, type ImageSettings } from "../../../scripts/image/archive.ts";
import { getPinnedNode } from "../../../scripts/image/node.ts";
import { ImageTree } from "../../../scripts/image/tree.ts";
import type { NodePrograms } from "./node-programs.ts";
import { CACHE, getPart } from "./parts.ts";

export const PAUSE_IMAGE = "heddle.test/pause:1";
export const COREDNS_IMAGE = "heddle.test/coredns:1";
/** Node and a busybox: for applications of tests. Runs as root unless the pod says otherwise. */
export const BASE_IMAGE = "heddle.test/base:1";
/** The name that the conformance suite of Gateway API 1.6.3 deploys. */
const ECHO_IMAGE = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1";

const USERS = { app: 1000, heddle: 1337 };
const DAY_MS = 86_400_000;
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BUSYBOX = [
  "sh",
  "ls",
  "cat",
  "echo",
  "env",
  "id",
  "ip",
  "kill",
  "nc",
  "netstat",
  "nslookup",
  "ps",
  "sleep",
  "touch",
  "wget",
];

/** What a node cannot do without, and applications of tests. */
export async function getNodeImages(programs: NodePrograms): Promise<string[]> {
  const [pause, coredns] = [await getPart("pause"), await getPart("coredns")];
  return [
    await imageOf(PAUSE_IMAGE, [pause], { Entrypoint: ["/pause"] }, () => {
      const tree = new ImageTree();
      tree.addProgram("/pause", pause);
      return [tree];
    }),
    await imageOf(COREDNS_IMAGE, [coredns], { Entrypoint: ["/coredns"] }, () => {
      const tree = ImageTree.makeBase(USERS);
      tree.addProgram("/coredns", coredns);
      return [tree];
    }),
    await getTestImage(programs, BASE_IMAGE, [], () => []),
  ];
}

/** An image of Node and a busybox with `layers` above; kept for `from`, the names of what they are made of. */
export function getTestImage(
  programs: NodePrograms,
  reference: string,
  from: readonly string[],
  layers: (below: ImageTree) => ImageTree[],
): Promise<string> {
  return imageOf(reference, [getPinnedNode(), ...BUSYBOX, ...from], { Env: [PATH] }, () => {
    const tree = ImageTree.makeBase(USERS);
    tree.addProgram("/usr/bin/node", getPinnedNode());
    tree.addProgram("/usr/bin/busybox", programs.busybox);
    for (const name of BUSYBOX) tree.addLink(`/usr/bin/${name}`, "busybox");
    return [tree, ...layers(tree)];
  });
}

/** What the Gateway API conformance suite deploys. */
export async function getEchoImage(): Promise<string> {
  const [server, client] = [await getPart("echo-server"), await getPart("echo-client")];
  return imageOf(ECHO_IMAGE, [server, client], { Env: [PATH], Entrypoint: ["/usr/local/bin/server"] }, async () => {
    const tree = ImageTree.makeBase({});
    tree.addProgram("/usr/local/bin/server", server);
    tree.addProgram("/usr/local/bin/client", client);
    const validity = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 3650 * DAY_MS };
    const leaf = await makeServerLeaf(await makeRoot("echo", validity), ["echo"], [], validity);
    tree.addText("/cert.crt", leaf.certificatePem);
    tree.addText("/cert.key", leaf.keyPem);
    return [tree];
  });
}

/** Kept for what it is made of. */
async function imageOf(
  reference: string,
  from: readonly string[],
  settings: ImageSettings,
  make: () => ImageTree[] | Promise<ImageTree[]>,
): Promise<string> {
  const hash = createHash("sha256").update(
    JSON.stringify([reference, from.map((one) => path.basename(one)), settings, process.version]),
  );
  const name = path.basename(reference).replace(/:.*/, "");
  const file = path.join(CACHE, "images", `${name}-${hash.digest("hex").slice(0, 12)}.tar`);
  if (!fs.existsSync(file)) writeImage(file, reference, await make(), settings);
  return file;
}
